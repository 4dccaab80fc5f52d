//! Whatever signs, verifies, hashes or encrypts.

pub mod checkpoint;
pub mod claims;
pub mod foreign;
pub mod issuer;
pub mod key_file;
pub mod keyring;
pub mod mac;
pub mod master_key_file;
pub mod password_hasher;
pub mod secret_box;
mod signer;
pub mod signing_key;
pub mod status_list;
pub mod verifier;
