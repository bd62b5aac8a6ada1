//! The SQL of this service: functions on a transaction, noun first.
