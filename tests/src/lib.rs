//! Integration scenarios live in `suite/`; this library is empty.
