//! The places in the status lists that this server may give away (ADR 10).
//!
//! They are reserved in blocks, by a write of its own: a counter that each login held until its commit would let
//! one login in at a time. What is left of a block at the end is nobody's; places are many.

use std::sync::{Mutex, PoisonError};

use crate::db::{Db, statuses};
use crate::domain::Refusal;
use crate::domain::status_list::StatusIndex;

/// The most places that are reserved at once. It begins with one, for a command that makes a single key, and doubles.
const BLOCK: i64 = 64;

/// The places that were reserved, and that nobody has yet.
#[derive(Default)]
pub struct StatusIndexes(Mutex<Spare>);

#[derive(Default)]
struct Spare {
    places: Vec<StatusIndex>,
    /// How many were reserved the last time.
    reserved: i64,
}

impl StatusIndexes {
    /// A place that nobody had, and nobody else will have.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn take(&self, db: &Db) -> Result<StatusIndex, Refusal> {
        let count = match self.spare(|spare| (spare.places.pop(), spare.reserved)) {
            (Some(place), _) => return Ok(place),
            (None, reserved) => reserved.saturating_mul(2).clamp(1, BLOCK),
        };
        // Whoever finds none left reserves a block too, and waits for nobody else's.
        let end = db.write(move |connection| statuses::reserve(connection, count).map_err(Refusal::from)).await?;
        let first = end.before(count);
        self.spare(|spare| {
            spare.reserved = count;
            spare.places.extend((1..count).map(|further| end.before(further)));
        });
        Ok(first)
    }

    fn spare<T>(&self, change: impl FnOnce(&mut Spare) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
