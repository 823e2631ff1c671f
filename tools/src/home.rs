//! The directory of `--dir`: pin, operators' keys, identities, and where the vault's host is.
//!
//! ```text
//! DIR/pin.toml                  the vault, as it is known here
//! DIR/connection.json           address of the host, and of its health page if known
//! DIR/operators/NAME/key.der    an operator's key
//! DIR/operators/NAME/identity/  its identity: key, certificate, authority; renewed by itself
//! DIR/agents/ROLE/              an agent's identity
//! DIR/sim/                      simulated machines, if there are any
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use vouchsafe_client::Pin;
use vouchsafe_protocol::id::{OperatorName, RoleName};

use crate::failure::Problem;

/// Where the host is when nothing says otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8600";

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

/// Where the vault's host is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Connection {
    /// For agents and operators.
    pub(crate) address: String,
    /// For health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<String>,
}

/// What is kept beside an identity: not secret, and not believed by anybody.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IdentityNotes {
    /// SPIFFE id.
    pub(crate) spiffe_id: String,
    /// When the certificate ends, seconds since 1970.
    pub(crate) not_after_secs: u64,
    /// When the evidence behind it is too old, seconds since 1970.
    pub(crate) evidence_until_secs: u64,
}

impl Home {
    /// `--dir`, or `~/.vouchsafe`.
    pub(crate) fn locate(dir: Option<&Path>) -> Result<Self> {
        if let Some(dir) = dir {
            return Ok(Self(dir.to_owned()));
        }
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).ok_or_else(|| {
            Problem::new("no-directory", "there is no home directory to keep keys in")
                .hint("name a directory with --dir DIR or VOUCHSAFE_DIR")
        })?;
        Ok(Self(Path::new(&home).join(".vouchsafe")))
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, with mode 0700, or checks that nobody else can enter it.
    pub(crate) fn create(&self) -> Result<()> {
        private_dir(&self.0)
    }

    /// The pin's file.
    pub(crate) fn pin_path(&self) -> PathBuf {
        self.0.join("pin.toml")
    }

    /// The pin.
    pub(crate) fn pin(&self) -> Result<Pin> {
        let path = self.pin_path();
        if !path.exists() {
            return Err(Problem::new("no-pin", format!("{} does not know any vault yet", self.0.display()))
                .hint(format!(
                    "run 'vouchsafe init' to make a vault, copy an operator's pin to {}, or introduce with \
                     --trust-on-first-use",
                    path.display()
                ))
                .into());
        }
        Ok(Pin::load(path)?)
    }

    /// Keeps the pin, if it is not the one that is kept already.
    pub(crate) fn save_pin(&self, pin: &Pin) -> Result<()> {
        if fs::read_to_string(self.pin_path()).is_ok_and(|kept| Ok(kept) == pin.to_toml().map_err(|_| ())) {
            return Ok(());
        }
        self.create()?;
        Ok(pin.save(self.pin_path())?)
    }

    /// Where the host is, as remembered.
    pub(crate) fn connection(&self) -> Result<Option<Connection>> {
        let path = self.0.join("connection.json");
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is damaged; remove it", path.display()))?,
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Remembers where the host is.
    pub(crate) fn save_connection(&self, connection: &Connection) -> Result<()> {
        self.create()?;
        write_private(&self.0.join("connection.json"), &serde_json::to_vec_pretty(connection)?)
    }

    /// An operator's directory.
    pub(crate) fn operator_dir(&self, name: &OperatorName) -> PathBuf {
        self.0.join("operators").join(name.as_str())
    }

    /// An operator's key.
    pub(crate) fn operator_key_path(&self, name: &OperatorName) -> PathBuf {
        self.operator_dir(name).join("key.der")
    }

    /// Operators with a key here.
    pub(crate) fn operators(&self) -> Result<Vec<OperatorName>> {
        names(&self.0.join("operators"), |path| path.join("key.der").is_file())
    }

    /// An agent's identity.
    pub(crate) fn agent_dir(&self, role: &RoleName) -> PathBuf {
        self.0.join("agents").join(role.as_str())
    }

    /// Roles with an identity here.
    pub(crate) fn agents(&self) -> Result<Vec<RoleName>> {
        names(&self.0.join("agents"), |path| path.join("certificate.der").is_file())
    }
}

/// Names in a directory, in order; none if there is no directory.
fn names<N: std::str::FromStr>(dir: &Path, is_one: impl Fn(&Path) -> bool) -> Result<Vec<N>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", dir.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", dir.display()))?;
        if is_one(&entry.path()) {
            found.extend(entry.file_name().into_string());
        }
    }
    found.sort();
    Ok(found.into_iter().filter_map(|name| name.parse().ok()).collect())
}

/// Makes a directory of mode 0700, or refuses one that others can enter.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    let shown = path.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the directory {shown}"))?;
    let mode = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("{shown} is open to group or others (mode {mode:o}); it holds keys");
    Err(Problem::new("exposed-directory", message).hint(format!("chmod 700 {shown}")).into())
}

/// Writes a file of mode 0600, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() && temporary.exists() {
        fs::remove_file(&temporary).with_context(failed)?;
    }
    written.with_context(failed)
}

impl IdentityNotes {
    /// Reads the notes beside an identity.
    pub(crate) fn load(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join("about.json")).ok()?).ok()
    }

    /// Writes them.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        write_private(&dir.join("about.json"), &serde_json::to_vec_pretty(self)?)
    }

    /// The end of its use, seconds since 1970.
    pub(crate) fn ends_secs(&self) -> u64 {
        self.not_after_secs.min(self.evidence_until_secs)
    }
}
