//! Integration scenarios live in `suite/` and `outages/`; this library is empty.
