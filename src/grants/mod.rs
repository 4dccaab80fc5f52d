//! A credential in, tokens out (RFC 6749's word for it): no HTTP and no SQL in here.

pub mod admission;
pub mod bearer;
pub mod exchange;
pub mod forward_auth;
pub mod introspection;
pub mod login;
pub mod refresh;
pub mod resume;
mod session_tokens;
pub mod status_list;
pub mod switch;
pub mod workload;

pub use session_tokens::SessionTokens;
