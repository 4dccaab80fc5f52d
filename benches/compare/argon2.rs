//! The password hash of a login and nothing else, on so many threads for so many seconds: what logins are compared
//! with.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use jeton::config::Config;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse::<u64>().expect("threads and seconds"));
    let (threads, seconds) = (arguments.next().expect("threads"), arguments.next().expect("seconds"));
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let started: Vec<_> = (0..threads).map(|_| thread::spawn(move || hash_until(end))).collect();
    let hashes: u64 = started.into_iter().map(|thread| thread.join().expect("it ends in order")).sum();
    println!("{{\"hashes\": {hashes}, \"seconds\": {}}}", begun.elapsed().as_secs_f64());
}

/// Hashes with the parameters that are the default, in memory that is kept.
fn hash_until(end: Instant) -> u64 {
    let cost = Config::load(None, []).expect("nothing is configured").password.argon2;
    let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, Some(32)).expect("sound parameters");
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hashes = 0;
    while Instant::now() < end {
        let password = b"a long password for a benchmark";
        let done = argon2.hash_password_into_with_memory(password, &[7; 16], &mut [0; 32], memory.as_mut_slice());
        done.expect("nothing is wrong with it");
        hashes += 1;
    }
    hashes
}
