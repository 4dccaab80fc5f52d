//! What Jeton's words mean: pure types and rules, without a connection, a clock or randomness.

pub mod actor;
pub mod algorithm;
pub mod api_key;
pub mod app_identifier;
pub mod audience;
pub mod audit;
pub mod audit_chain;
pub mod change;
pub mod claim_conditions;
pub mod constraints;
pub mod day;
pub mod distinct;
pub mod email;
pub mod id;
pub mod ip_allow_list;
pub mod issuer_url;
pub mod key_format;
pub mod key_group;
pub mod login_failures;
pub mod name;
pub mod object_members;
pub mod original_request;
pub mod page;
pub mod password;
pub(crate) mod printable;
pub mod public_address;
pub mod rate_limit;
pub mod refresh_token;
pub mod refusal;
pub mod rotation;
pub mod scope;
pub mod sealed;
pub mod session;
pub mod signing_key;
pub mod status_list;
pub mod tenant;
pub mod timestamp;
pub mod trusted_issuer;
pub mod usage;
pub mod user;
pub mod word;

pub use actor::Actor;
pub use algorithm::Algorithm;
pub use audience::Audience;
pub use day::Day;
pub use email::Email;
pub use id::{
    ApiKeyId, AppIdentifierId, AuditChainId, AuditEventId, InstanceId, KeyGroupId, SessionId, TenantId,
    TrustedIssuerId, UserId,
};
pub use name::Name;
pub use refusal::Refusal;
pub use scope::{Scope, Scopes};
pub use tenant::Tenant;
pub use timestamp::Timestamp;
pub use user::{Member, User};
pub use word::{AccessTypeName, Role};
