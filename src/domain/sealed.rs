//! What is encrypted, and under which master key.

use diesel::Queryable;

/// An encrypted value as it is stored. A database that holds it keeps its master key's row, too.
#[derive(Clone, Debug, Queryable)]
pub struct Sealed {
    /// The fingerprint of the master key; none where it was sealed before master keys had names.
    pub master_key: Option<String>,
    /// What was encrypted.
    pub bytes: Vec<u8>,
}
