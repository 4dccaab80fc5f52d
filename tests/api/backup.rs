//! `jeton backup`, and what comes back of it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::harness::Jeton;

#[test]
fn a_backup_that_is_restored_has_all_that_was_acknowledged_before_it() {
    let jeton = Jeton::on_sqlite();
    let tenant = jeton.tenant();
    let (user, disabled) = (tenant.user("admin"), tenant.user("member"));
    let (session, ended, rotated) = (user.session(), user.session(), user.session());
    ended.logout().expect_status(204);
    let newest = rotated.refreshed().refreshed();
    let (key, revoked) = (tenant.api_key(["a:b"]), tenant.api_key(["a:b"]));
    tenant.admin().revoke(&revoked).expect_status(204);
    jeton.cli(["user", "disable", &disabled.email]).expect_code(0);
    let token = key.token();

    // Taken while people log in.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                user.login().expect_tokens();
            }
        });
        let run = jeton.cli(["backup", "backup.db", "--json"]).expect_code(0);
        over.store(true, Ordering::SeqCst);
        writer.join().expect("nobody waits for a backup");
        let length = fs::metadata(jeton.folder().join("backup.db")).unwrap().len();
        assert_eq!(run.json()["bytes"], length);
        assert!(run.text("master_key").ends_with("keys/master.key"));
    });
    let later = user.session();

    jeton.stop();
    let data = jeton.folder().join("data");
    for entry in fs::read_dir(&data).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    fs::copy(jeton.folder().join("backup.db"), data.join("jeton.db")).unwrap();
    jeton.start();

    assert_eq!(integrity(&data.join("jeton.db")), "ok");
    jeton.verified(&token);
    key.exchange().expect_scope("a:b");
    session.refreshed();
    newest.refreshed();
    user.login().expect_tokens();
    revoked.exchange().expect_problem(401, "invalid_api_key");
    ended.refresh().expect_problem(401, "invalid_refresh_token");
    rotated.refresh().expect_problem(401, "refresh_token_reused");
    disabled.login().expect_problem(401, "invalid_credentials");
    later.refresh().expect_problem(401, "invalid_refresh_token");
    let body = json!({"name": "Key"});
    user.post(tenant.path("api-keys"), body).expect_status(201);
}

#[test]
fn a_backup_is_for_its_owner_alone_and_overwrites_nothing() {
    let jeton = Jeton::on_sqlite();
    jeton.tenant();
    let run = jeton.cli(["backup", "backup.db"]).expect_code(0);
    assert!(run.stdout.contains("master.key") && run.stdout.contains("apart"), "{run:?}");
    let file = jeton.folder().join("backup.db");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let master_key = fs::read(jeton.folder().join("keys/master.key")).unwrap();
    let copied = fs::read(&file).unwrap();
    assert!(!copied.windows(master_key.len()).any(|bytes| bytes == master_key), "the key is kept apart");

    jeton.cli(["backup", "backup.db"]).expect_refusal(1, &["backup.db", "there already"]);
    assert_eq!(fs::read(&file).unwrap(), copied);
    std::os::unix::fs::symlink("nowhere", jeton.folder().join("link.db")).unwrap();
    jeton.cli(["backup", "link.db"]).expect_refusal(1, &["link.db", "there already"]);
    // To SQLite this is a URI, of another file.
    jeton.cli(["backup", "file:uri.db"]).expect_code(0);
    let of_uri = fs::metadata(jeton.folder().join("file:uri.db")).unwrap();
    assert_eq!((of_uri.len() > 0, of_uri.permissions().mode() & 0o777), (true, 0o600));
    jeton.cli(["backup", "no-folder/backup.db"]).expect_refusal(1, &["no-folder/backup.db"]);
    jeton.cli(["backup"]).expect_refusal(2, &["FILE"]);
    let left: Vec<_> = fs::read_dir(jeton.folder()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".part")), "{left:?}");
}

#[both_databases]
fn a_backup_is_of_a_database_that_is_there(jeton: Jeton) {
    match jeton.database() {
        crate::harness::Database::Sqlite => {
            jeton.cli(["backup", "backup.db"]).expect_refusal(1, &["there is no", "jeton.db"]);
        }
        crate::harness::Database::Postgres { .. } => {
            jeton.cli(["backup", "backup.db"]).expect_refusal(1, &["pg_dump"]);
        }
    }
    assert!(!jeton.folder().join("backup.db").exists());
}

fn integrity(file: &Path) -> String {
    use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query, sql_types::Text};
    #[derive(diesel::QueryableByName)]
    struct Found {
        #[diesel(sql_type = Text)]
        integrity_check: String,
    }
    let mut connection = SqliteConnection::establish(&file.display().to_string()).unwrap();
    sql_query("PRAGMA integrity_check").get_result::<Found>(&mut connection).unwrap().integrity_check
}
