//! Identity over real sockets: certificates, keys and ports, and what happens when they change.

mod security;
