//! What is encrypted under the master key (AES-256-GCM), and how one master key is followed by another.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::config::MasterKey;
use crate::db::master_keys::MasterKeyRow;
use crate::domain::Refusal;
use crate::domain::sealed::Sealed;
use crate::random::Random;

/// The layout of what is sealed: this byte, the nonce, the ciphertext with its tag.
const VERSION: u8 = 1;

/// The bytes of a fingerprint: enough to tell keys apart.
const FINGERPRINT: usize = 8;

/// Encrypts and decrypts under the master key. While that is being replaced it knows both keys: it opens what either
/// has sealed, and seals under the newer one.
pub struct SecretBox {
    /// The last one seals.
    keys: RwLock<Arc<Vec<Key>>>,
    /// One learns at a time: what another one has learnt meanwhile would be lost.
    learning: Mutex<()>,
    random: Random,
}

#[derive(Clone)]
struct Key {
    fingerprint: String,
    master: MasterKey,
    cipher: Arc<LessSafeKey>,
    /// It went out of use, and is forgotten the next time: what was read just before is still to be opened.
    is_gone: bool,
}

/// What was to be decrypted was not encrypted under this master key for this purpose, or was altered.
#[derive(Debug, thiserror::Error)]
#[error("cannot decrypt; is this the master key that belongs to the database?")]
pub struct CannotOpen;

/// The name of a master key: a keyed hash, which tells nothing about the key.
#[must_use]
pub fn fingerprint(key: &MasterKey) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), b"jeton master key fingerprint");
    HEXLOWER.encode(tag.as_ref().get(..FINGERPRINT).unwrap_or_default())
}

/// What another master key is sealed for: it opens in the row of this one only.
fn purpose(fingerprint: &str) -> String {
    format!("master-key/{fingerprint}")
}

impl SecretBox {
    /// A box under this key.
    ///
    /// # Errors
    /// [`Refusal::Internal`]: never, for a key of the right length.
    pub fn new(key: &MasterKey, random: Random) -> Result<Self, Refusal> {
        Ok(Self { keys: RwLock::new(Arc::new(vec![Key::new(key)?])), learning: Mutex::default(), random })
    }

    /// A box that knows the same keys, and seals under a new one.
    ///
    /// # Errors
    /// As [`SecretBox::new`].
    pub fn followed_by(&self, next: &MasterKey) -> Result<Self, Refusal> {
        let keys = self.keys().iter().cloned().chain([Key::new(next)?]).collect();
        Ok(Self { keys: RwLock::new(Arc::new(keys)), learning: Mutex::default(), random: self.random.clone() })
    }

    /// The fingerprint of the key that seals.
    #[must_use]
    pub fn seals_under(&self) -> String {
        self.keys().last().map(|key| key.fingerprint.clone()).unwrap_or_default()
    }

    /// The key that seals, for whoever puts it into a file.
    #[must_use]
    pub fn master_key(&self) -> Option<MasterKey> {
        self.keys().last().map(|key| key.master.clone())
    }

    /// Learns from the table of master keys which one is in use, and what it is, where this box knows the one before or
    /// after it. A key that the table has no more is forgotten the second time that it is missing.
    ///
    /// # Errors
    /// [`CannotOpen`]: the keys of this box are not in use any more; or somebody has altered the table.
    pub fn learn(&self, rows: &[MasterKeyRow]) -> Result<(), CannotOpen> {
        let Some(current) = rows.iter().find(|row| row.successor.is_none()) else { return Ok(()) };
        let _one_at_a_time = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.keys();
        let holds = |keys: &[Key], fingerprint: &str| keys.iter().any(|key| key.fingerprint == fingerprint);
        let is_in_use = |key: &Key| rows.iter().any(|row| row.id == key.fingerprint);
        if known.last().is_some_and(|key| key.fingerprint == current.id)
            && rows.iter().all(|row| holds(&known, &row.id))
            && known.iter().all(is_in_use)
        {
            return Ok(());
        }
        let mut keys: Vec<Key> = known.iter().filter(|key| is_in_use(key) || !key.is_gone).cloned().collect();
        for key in &mut keys {
            key.is_gone = !is_in_use(key);
        }
        for row in rows.iter().filter(|row| holds(&known, &row.id)) {
            let Some(sealed) = &row.sealed_other else { continue };
            let sealed = Sealed { master_key: Some(row.id.clone()), bytes: sealed.clone() };
            let other = self.open(&purpose(&row.id), &sealed)?;
            let other = MasterKey::new(other.as_slice().try_into().map_err(|_| CannotOpen)?);
            if !holds(&keys, &fingerprint(&other)) {
                keys.push(Key::new(&other).map_err(|_| CannotOpen)?);
            }
        }
        let position = keys.iter().position(|key| key.fingerprint == current.id).ok_or(CannotOpen)?;
        let current = keys.remove(position);
        keys.push(current);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// Encrypts another master key under the one that seals, for its row.
    ///
    /// # Errors
    /// [`Refusal::Internal`] without randomness.
    pub fn seal_other(&self, other: &MasterKey) -> Result<Sealed, Refusal> {
        self.seal(&purpose(&self.seals_under()), other.as_bytes())
    }

    /// Encrypts `secret` for `purpose`: only the same purpose opens it, so that rows cannot be swapped.
    ///
    /// # Errors
    /// [`Refusal::Internal`] without randomness.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Sealed, Refusal> {
        let keys = self.keys();
        let key = keys.last().ok_or(Refusal::Internal)?;
        let nonce = self.random.bytes::<NONCE_LEN>()?;
        let mut sealed = secret.to_vec();
        key.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed)
            .map_err(|_| Refusal::Internal)?;
        let bytes = [&[VERSION], nonce.as_slice(), &sealed].concat();
        Ok(Sealed { master_key: Some(key.fingerprint.clone()), bytes })
    }

    /// Decrypts what was sealed for `purpose`, with the key that it names, and no other one; what names none is tried
    /// with all.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open(&self, purpose: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        let (&VERSION, rest) = sealed.bytes.split_first().ok_or(CannotOpen)? else { return Err(CannotOpen) };
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(CannotOpen)?;
        let keys = self.keys();
        let mut named =
            keys.iter().filter(|key| sealed.master_key.as_ref().is_none_or(|name| *name == key.fingerprint));
        named.find_map(|key| key.open(purpose, *nonce, ciphertext)).ok_or(CannotOpen)
    }

    fn keys(&self) -> Arc<Vec<Key>> {
        // A poisoned lock still holds whole keys: they are only ever replaced at once.
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Key {
    fn new(master: &MasterKey) -> Result<Self, Refusal> {
        let key = UnboundKey::new(&AES_256_GCM, master.as_bytes()).map_err(|_| Refusal::Internal)?;
        let cipher = Arc::new(LessSafeKey::new(key));
        Ok(Self { fingerprint: fingerprint(master), master: master.clone(), cipher, is_gone: false })
    }

    fn open(&self, purpose: &str, nonce: [u8; NONCE_LEN], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut opened = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = self.cipher.open_in_place(nonce, Aad::from(purpose), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn secret_box(byte: u8) -> SecretBox {
        SecretBox::new(&MasterKey::new([byte; 32]), Random::default()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_only() {
        let sealed = secret_box(7).seal("a", b"secret").unwrap();
        assert_eq!(secret_box(7).open("a", &sealed).unwrap().as_slice(), b"secret");
        assert!(secret_box(7).open("b", &sealed).is_err());
        assert!(secret_box(8).open("a", &sealed).is_err());
        for length in 0..sealed.bytes.len() {
            let bytes = sealed.bytes[..length].to_vec();
            assert!(secret_box(7).open("a", &Sealed { bytes, ..sealed.clone() }).is_err());
        }
        let unnamed = Sealed { master_key: None, ..sealed.clone() };
        assert_eq!(secret_box(7).open("a", &unnamed).unwrap().as_slice(), b"secret");
        let mut altered = sealed;
        altered.bytes[20] ^= 1;
        assert!(secret_box(7).open("a", &altered).is_err());
    }

    #[test]
    fn while_a_key_is_replaced_whoever_has_one_of_the_two_has_both() {
        let [old, new] = [1, 2].map(|byte| MasterKey::new([byte; 32]));
        let before = secret_box(1);
        let after = before.followed_by(&new).unwrap();
        let row = |id: &SecretBox, successor: Option<&SecretBox>, other: Option<Sealed>| MasterKeyRow {
            id: id.seals_under(),
            created_at: Timestamp(0),
            successor: successor.map(SecretBox::seals_under),
            sealed_other: other.map(|sealed| sealed.bytes),
        };
        let rows = [
            row(&before, Some(&after), Some(before.seal_other(&new).unwrap())),
            row(&after, None, Some(after.seal_other(&old).unwrap())),
        ];
        let (had_old, had_new) = (secret_box(1), secret_box(2));
        for secrets in [&had_old, &had_new] {
            secrets.learn(&rows).unwrap();
            assert_eq!(secrets.seals_under(), fingerprint(&new));
            for sealed in [secret_box(1).seal("a", b"x").unwrap(), secret_box(2).seal("a", b"x").unwrap()] {
                assert_eq!(secrets.open("a", &sealed).unwrap().as_slice(), b"x");
            }
            let misnamed = Sealed { master_key: Some(fingerprint(&new)), ..secret_box(1).seal("a", b"x").unwrap() };
            assert!(secrets.open("a", &misnamed).is_err(), "the old key opens only what names it");
        }
        let finished = [row(&after, None, None)];
        assert!(secret_box(1).learn(&finished).is_err(), "the old one is out of use");
        let late = secret_box(1).seal("a", b"x").unwrap();
        for secrets in [&had_old, &had_new] {
            secrets.learn(&finished).unwrap();
            assert!(secrets.open("a", &late).is_ok(), "it was read just before");
            secrets.learn(&finished).unwrap();
            assert!(secrets.open("a", &late).is_err(), "the old one is forgotten");
            assert!(secrets.open("a", &Sealed { master_key: None, ..late.clone() }).is_err());
            assert_eq!(secrets.seals_under(), fingerprint(&new));
        }
        secret_box(2).learn(&finished).unwrap();
        assert!(secret_box(3).learn(&rows).is_err());

        let swapped = [row(&before, Some(&after), Some(after.seal_other(&old).unwrap())), row(&after, None, None)];
        assert!(secret_box(1).learn(&swapped).is_err(), "each opens in its own row only");
    }
}
