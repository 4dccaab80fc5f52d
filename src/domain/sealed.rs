//! What is encrypted, and under which master key.

/// An encrypted value as it is stored. A database that holds it keeps its master key's row, too.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The fingerprint of the master key.
    pub master_key: String,
    /// What was encrypted.
    pub bytes: Vec<u8>,
}
