//! Password hashing (Argon2id) on threads of its own: as many as cores, each keeping its memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use crate::config::Argon2Cost;
use crate::deadline;
use crate::domain::Refusal;
use crate::domain::password::{Password, WeakPassword};
use crate::random::Random;

/// Hashes that wait for each thread; beyond it callers are told at once to come back.
const QUEUE_PER_THREAD: usize = 64;

const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;

/// Hashes and verifies passwords.
///
/// At most `threads` hashes have memory at once, whatever clients do: a hash that began runs to its end even where
/// its client went away, so no permit comes back early (security: parallel logins that exhaust memory).
pub struct PasswordHasher {
    queue: Sender<Job>,
    in_progress: Arc<AtomicUsize>,
    random: Random,
    params: Params,
    /// The hash of no password, where there is nobody whose hash could stand in (security 17).
    nobody: String,
}

/// What became of a password that was checked.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the right one.
    Right,
    /// It is the right one, and its hash should be made anew with today's parameters.
    RightButOutdated,
    /// It is not.
    Wrong,
}

/// What a new password must be.
pub struct Policy {
    /// The fewest characters.
    pub min_length: usize,
    /// What it must not be made of.
    pub context: Vec<String>,
}

/// The hash of a new password, or what is wrong with the password; none where hashing itself failed.
type Judged = Result<Option<String>, WeakPassword>;

/// Passwords cannot be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HasherError {
    /// Argon2 does not take these parameters.
    #[error("password.argon2: {0}")]
    Parameters(argon2::Error),
    /// No thread, or no randomness.
    #[error("cannot start password hashing")]
    Start,
}

struct Job {
    password: Password,
    task: Task,
}

enum Task {
    Hash { params: Params, salt: [u8; SALT_LEN], reply: oneshot::Sender<Option<String>> },
    HashNew { policy: Policy, params: Params, salt: [u8; SALT_LEN], reply: oneshot::Sender<Judged> },
    Verify { stored: String, reply: oneshot::Sender<bool> },
}

impl PasswordHasher {
    /// Starts `threads` hashing threads.
    ///
    /// # Errors
    /// See [`HasherError`].
    pub fn start(cost: &Argon2Cost, threads: usize, random: Random) -> Result<Self, HasherError> {
        let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, Some(HASH_LEN))
            .map_err(HasherError::Parameters)?;
        let (queue, jobs) = crossbeam_channel::bounded(threads.saturating_mul(QUEUE_PER_THREAD));
        let in_progress = Arc::new(AtomicUsize::new(0));
        for number in 0..threads {
            let (jobs, in_progress) = (jobs.clone(), Arc::clone(&in_progress));
            let named = std::thread::Builder::new().name(format!("hash-{number}"));
            named.spawn(move || work(&jobs, &in_progress)).map_err(|_| HasherError::Start)?;
        }
        let salt: [u8; SALT_LEN] = random.bytes().map_err(|_| HasherError::Start)?;
        let hash: [u8; HASH_LEN] = random.bytes().map_err(|_| HasherError::Start)?;
        let nobody = write_phc(&params, &salt, &hash).ok_or(HasherError::Start)?;
        Ok(Self { queue, in_progress, random, params, nobody })
    }

    /// Hashes a password into a PHC string.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] where too many wait.
    pub async fn hash(&self, password: Password) -> Result<String, Refusal> {
        let (reply, answer) = oneshot::channel();
        let task = Task::Hash { params: self.params.clone(), salt: self.random.bytes()?, reply };
        self.enqueue(password, task)?;
        in_time(answer).await?.ok_or(Refusal::Internal)
    }

    /// Judges a new password and hashes it. To judge takes as long as to hash, so it is done here too.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] where too many wait; what is wrong with the password.
    pub async fn hash_new(&self, password: Password, policy: Policy) -> Result<Result<String, WeakPassword>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let task = Task::HashNew { policy, params: self.params.clone(), salt: self.random.bytes()?, reply };
        self.enqueue(password, task)?;
        match in_time(answer).await? {
            Ok(hash) => Ok(Ok(hash.ok_or(Refusal::Internal)?)),
            Err(weak) => Ok(Err(weak)),
        }
    }

    /// Checks a password against the hash of its user.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] where too many wait.
    pub async fn verify(&self, password: Password, stored: &str) -> Result<Verdict, Refusal> {
        Ok(match self.matches(password, stored).await? {
            true if self.is_outdated(stored) => Verdict::RightButOutdated,
            true => Verdict::Right,
            false => Verdict::Wrong,
        })
    }

    /// Does the work of [`PasswordHasher::verify`] for an address that nobody has, against somebody else's hash where
    /// there is one. It is wrong whatever comes out.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] where too many wait.
    pub async fn verify_in_vain(&self, password: Password, stand_in: Option<&str>) -> Result<Verdict, Refusal> {
        self.matches(password, stand_in.unwrap_or(&self.nobody)).await?;
        Ok(Verdict::Wrong)
    }

    async fn matches(&self, password: Password, stored: &str) -> Result<bool, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(password, Task::Verify { stored: stored.to_owned(), reply })?;
        in_time(answer).await
    }

    /// Hashes that wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Hashes that a thread works on.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.in_progress.load(Ordering::Relaxed)
    }

    fn enqueue(&self, password: Password, task: Task) -> Result<(), Refusal> {
        self.queue.try_send(Job { password, task }).map_err(|_| Refusal::Overloaded)
    }

    fn is_outdated(&self, stored: &str) -> bool {
        let Ok(stored) = PasswordHash::new(stored) else { return true };
        let Ok(params) = Params::try_from(&stored) else { return true };
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        stored.algorithm != ARGON2ID_IDENT || cost(&params) != cost(&self.params)
    }
}

/// What a thread answers; a request that must be answered before is told that too many wait. What was not begun by then
/// never is.
async fn in_time<T>(answer: oneshot::Receiver<T>) -> Result<T, Refusal> {
    let answered = match deadline::in_request() {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), answer).await.map_err(|_| Refusal::Overloaded)?,
        None => answer.await,
    };
    answered.map_err(|_| Refusal::Internal)
}

/// How much less of the processor a hashing thread has than those that answer everybody else, while both want it.
const NICE: i32 = 10;

/// One hashing thread: it keeps its memory from hash to hash, which is worth a third of the time, and gives way to all
/// others (security: a flood of logins that slows down everything else).
fn work(jobs: &Receiver<Job>, in_progress: &AtomicUsize) {
    // On Linux this is for the thread. Where it is refused the flood is felt, and nothing else is wrong.
    let _ = rustix::process::nice(NICE);
    let mut memory = Vec::new();
    for Job { password, task } in jobs {
        if task.is_abandoned() {
            continue;
        }
        in_progress.fetch_add(1, Ordering::Relaxed);
        // A panic over one password must not end the thread that all others wait for.
        if catch_unwind(AssertUnwindSafe(|| task.run(&password, &mut memory))).is_err() {
            memory = Vec::new();
        }
        in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Task {
    fn run(self, password: &Password, memory: &mut Vec<Block>) {
        // Whoever waited may have gone away meanwhile.
        match self {
            Self::Hash { params, salt, reply } => drop(reply.send(hash(&params, password, &salt, memory))),
            Self::HashNew { policy, params, salt, reply } => {
                let judged = password.ensure_strong(policy.min_length, &policy.context);
                drop(reply.send(judged.map(|()| hash(&params, password, &salt, memory))));
            }
            Self::Verify { stored, reply } => {
                let _ = reply.send(verify(&stored, password, memory).unwrap_or(false));
            }
        }
    }

    /// Whether nobody waits for it any more, before it has begun.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { reply, .. } => reply.is_closed(),
            Self::HashNew { reply, .. } => reply.is_closed(),
            Self::Verify { reply, .. } => reply.is_closed(),
        }
    }
}

fn hash(params: &Params, password: &Password, salt: &[u8], memory: &mut Vec<Block>) -> Option<String> {
    write_phc(params, salt, &compute(params, password, salt, HASH_LEN, memory)?)
}

fn verify(stored: &str, password: &Password, memory: &mut Vec<Block>) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let (salt, expected) = (stored.salt?, stored.hash?);
    let params = Params::try_from(&stored).ok()?;
    let computed = compute(&params, password, &salt, expected.len(), memory)?;
    Some(verify_slices_are_equal(&computed, expected.as_bytes()).is_ok())
}

fn compute(
    params: &Params,
    password: &Password,
    salt: &[u8],
    length: usize,
    memory: &mut Vec<Block>,
) -> Option<Vec<u8>> {
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::default());
    }
    let mut output = vec![0; length];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password.expose(), salt, &mut output, memory.as_mut_slice())
        .ok()?;
    Some(output)
}

fn write_phc(params: &Params, salt: &[u8], hash: &[u8]) -> Option<String> {
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(Output::new(hash).ok()?),
    };
    Some(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Argon2Cost = Argon2Cost { memory_kib: 64, iterations: 1, parallelism: 1 };

    fn password(text: &str) -> Password {
        text.to_owned().into()
    }

    #[actix_web::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hasher = PasswordHasher::start(&COST, 1, Random::default()).unwrap();
        let stored = hasher.hash(password("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        let verify = async |text, stored| hasher.verify(password(text), stored).await.unwrap();
        assert_eq!(verify("correct horse", stored.as_str()).await, Verdict::Right);
        assert_eq!(verify("Correct horse", stored.as_str()).await, Verdict::Wrong);
        assert_eq!(verify("correct horse", "$argon2id$nonsense").await, Verdict::Wrong);
        for stand_in in [Some(stored.as_str()), None] {
            let vain = hasher.verify_in_vain(password("correct horse"), stand_in).await.unwrap();
            assert_eq!(vain, Verdict::Wrong);
        }
    }

    #[actix_web::test]
    async fn other_parameters_are_recognised_as_outdated() {
        let old = PasswordHasher::start(&COST, 1, Random::default()).unwrap();
        let new = PasswordHasher::start(&Argon2Cost { iterations: 2, ..COST }, 1, Random::default()).unwrap();
        let stored = old.hash(password("correct horse")).await.unwrap();
        let verdict = new.verify(password("correct horse"), &stored).await.unwrap();
        assert_eq!(verdict, Verdict::RightButOutdated);
    }
}
