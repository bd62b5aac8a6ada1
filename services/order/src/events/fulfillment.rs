//! What fulfilment says.
