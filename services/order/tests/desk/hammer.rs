//! Many lanes and replicas on the same units at once.
