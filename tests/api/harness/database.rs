//! The database of one test: an SQLite file in the test's folder, or a clone of a migrated template.

use std::{fs, path::Path, process::Command, sync::LazyLock};

use super::{cli, cluster::Cluster, unique};

/// Where one test keeps its data.
pub enum Database {
    Sqlite,
    Postgres { cluster: &'static Cluster, name: String },
}

impl Database {
    /// A database of PostgreSQL that has been migrated; none where there is no PostgreSQL.
    pub fn postgres() -> Option<Self> {
        let cluster = Cluster::of_this_process()?;
        let name = unique("test").replace('-', "_");
        cluster.run(&format!("CREATE DATABASE {name} TEMPLATE {}", *TEMPLATE));
        Some(Self::Postgres { cluster, name })
    }

    /// A database of PostgreSQL without a table; none where there is no PostgreSQL.
    pub fn empty_postgres() -> Option<Self> {
        Cluster::of_this_process().map(Self::empty)
    }

    /// The same in a cluster that the test may stop: what is committed there survives that.
    pub fn empty_postgres_of_its_own() -> Option<Self> {
        let database = Cluster::of_one_test().map(Self::empty)?;
        if let Self::Postgres { cluster, name } = &database {
            cluster.run(&format!("ALTER DATABASE {name} SET synchronous_commit = on"));
        }
        Some(database)
    }

    fn empty(cluster: &'static Cluster) -> Self {
        let name = unique("empty").replace('-', "_");
        cluster.run(&format!("CREATE DATABASE {name}"));
        Self::Postgres { cluster, name }
    }

    /// What `DATABASE_URL` says; an SQLite file lies in the working directory of the server.
    pub fn url(&self) -> String {
        self.url_with("disable")
    }

    /// The same over TLS; SQLite knows no such thing.
    pub fn url_with(&self, sslmode: &str) -> String {
        match self {
            Self::Sqlite => "sqlite://data/jeton.db".to_owned(),
            Self::Postgres { cluster, name } => cluster.url(name, sslmode),
        }
    }

    /// All that is stored, as a thief of the disk or of a backup would find it.
    pub fn dump(&self, directory: &Path) -> Vec<u8> {
        match self {
            Self::Sqlite => ["jeton.db", "jeton.db-wal"]
                .iter()
                .filter_map(|file| fs::read(directory.join("data").join(file)).ok())
                .flatten()
                .collect(),
            Self::Postgres { cluster, .. } => {
                let dump = Command::new(cluster.binaries.join("pg_dump")).arg(self.url()).output();
                let dump = dump.expect("pg_dump stands beside the server");
                assert!(dump.status.success(), "pg_dump: {}", String::from_utf8_lossy(&dump.stderr));
                dump.stdout
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Self::Postgres { cluster, name } = self
            && !std::thread::panicking()
        {
            cluster.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// Migrated once by `jeton migrate`, then cloned for each test.
static TEMPLATE: LazyLock<&str> = LazyLock::new(|| {
    let cluster = Cluster::of_this_process().expect("asked for by its own tests only");
    cluster.run("CREATE DATABASE migrated");
    let folder = std::env::temp_dir().join(format!("jeton-template-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the migration");
    let environment = [("DATABASE_URL".to_owned(), cluster.url("migrated", "disable"))];
    cli::run(&folder, environment, ["migrate"], None).expect_code(0);
    fs::remove_dir_all(&folder).expect("the folder is there");
    "migrated"
});
