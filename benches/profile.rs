//! What a profile costs a request: finding the row of an endpoint table, and recognising a key. `cargo bench`.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::fmt::Write as _;

use divan::{Bencher, black_box};
use jeton::domain::key_format::KeyFormat;
use jeton::domain::original_request::{Method, RequestPath};
use jeton::profile::Profile;

fn main() {
    divan::main();
}

/// A profile whose table has this many rows, in the shapes that products have.
fn with_rows(rows: usize) -> Profile {
    let mut text = String::from("name = \"bench\"\n[key]\nprefix = \"b_\"\n[tenant]\nlocator = \"path\"\n");
    for row in 0..rows {
        let path = match row % 3 {
            0 => format!("/api/v1/organizations/{{tenant_id}}/resource{row}/**"),
            1 => format!("/api/v1/organizations/{{tenant_id}}/resource{row}/{{id}}"),
            _ => format!("/api/v1/organizations/{{tenant_id}}/resource{row}/{{id}}/archive"),
        };
        write!(text, "[[endpoints]]\nmethod = \"GET\"\npath = \"{path}\"\nscope = \"a:b\"\n").expect("a string grows");
    }
    let file = std::env::temp_dir().join(format!("jeton-bench-{}-{rows}.toml", std::process::id()));
    std::fs::write(&file, text).expect("the folder is writable");
    let profile = Profile::load(&file.to_string_lossy()).expect("a sound profile");
    drop(std::fs::remove_file(file));
    profile
}

/// A row in the middle of the table, however long it is.
#[divan::bench(args = [10, 100, 1_000])]
fn find_endpoint(bencher: Bencher<'_, '_>, rows: usize) {
    let profile = with_rows(rows);
    let wanted = rows / 2 - (rows / 2) % 3;
    let path = format!("/api/v1/organizations/3fa85f64-5717-4562-b3fc-2c963f66afa6/resource{wanted}/7/details");
    let path = RequestPath::parse(&path).expect("a plain path");
    bencher.bench(|| {
        profile.endpoints.find(black_box(Method::Get), black_box(&path)).map(|found| found.endpoint.methods.len()).ok()
    });
}

/// Nothing matches: the whole tree was looked through.
#[divan::bench(args = [10, 1_000])]
fn find_nothing(bencher: Bencher<'_, '_>, rows: usize) {
    let profile = with_rows(rows);
    let path = RequestPath::parse("/api/v1/organizations/x/nothing/of/this/kind").expect("a plain path");
    bencher.bench(|| profile.endpoints.find(black_box(Method::Get), black_box(&path)).is_err());
}

#[divan::bench]
fn parse_path(bencher: Bencher<'_, '_>) {
    let path = "/api/v1/organizations/3fa85f64-5717-4562-b3fc-2c963f66afa6/goals/7/archive";
    bencher.bench(|| RequestPath::parse(black_box(path)).is_ok());
}

/// `default` writes keys in hex, `base62` with a checksum.
#[divan::bench(args = ["hex32", "base62"])]
fn read_key(bencher: Bencher<'_, '_>, alphabet: &str) {
    let mut format: KeyFormat = Profile::load("default").expect("it is built in").key_format;
    format.alphabet = serde_json::from_value(alphabet.into()).expect("an alphabet");
    let environment = format.environments.first().expect("one at least").clone();
    let key = format.write(&environment, [7; KeyFormat::RANDOM_BYTES]);
    bencher.bench(|| format.read(black_box(key.expose())).is_some());
}
