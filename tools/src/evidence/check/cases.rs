//! The schema of `cases.json`, version 1, and the files it names.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Files;
use crate::evidence::read_file;

/// The schema this reads.
const SCHEMA: u32 = 1;

#[derive(Debug, Deserialize)]
struct Document {
    schema: u32,
    cases: Vec<Case>,
    #[serde(default)]
    mutations: Vec<Mutation>,
}

/// Cases and mutations of a directory.
pub(super) struct Suite {
    pub(super) cases: Vec<Case>,
    pub(super) mutations: Vec<Mutation>,
}

/// What the verifier should say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::evidence) enum Expect {
    Invalid,
    Valid,
}

/// One case. `facts` and `reason` are for people.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) files: BTreeMap<String, String>,
    pub(super) expect: Expect,
    /// Verification time, RFC 3339.
    pub(super) at: Option<String>,
    pub(super) product: Option<String>,
    /// Hexadecimal.
    pub(super) nonce: Option<String>,
    pub(super) sig_format: Option<String>,
    pub(super) policy: Option<serde_json::Value>,
}

/// What a case asks for beside the default policy. A key that is not listed here is not ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) allow_debug: bool,
    pub(super) max_vmpl: u8,
    pub(super) min_tcb: MinTcb,
    pub(super) measurement: Option<String>,
    pub(super) report_data: Option<String>,
    pub(super) host_data: Option<String>,
    pub(super) id_key_digest: Option<String>,
    pub(super) allow_sha1: bool,
}

/// A floor for REPORTED_TCB; components that are left out are zero.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MinTcb {
    pub(super) fmc: u8,
    #[serde(alias = "boot_loader")]
    pub(super) bootloader: u8,
    pub(super) tee: u8,
    pub(super) snp: u8,
    #[serde(alias = "ucode")]
    pub(super) microcode: u8,
}

impl Case {
    /// Verification time in seconds since 1970.
    pub(super) fn at(&self) -> anyhow::Result<i64> {
        let at = self.at.as_deref().context("the case has no verification time")?;
        let at = OffsetDateTime::parse(at, &Rfc3339).context("the verification time is not RFC 3339")?;
        Ok(at.unix_timestamp())
    }

    /// The policy, if every key of it is known.
    pub(super) fn policy(&self) -> anyhow::Result<Policy> {
        match &self.policy {
            None => Ok(Policy::default()),
            Some(policy) => Policy::deserialize(policy).context("the policy of the case is not understood"),
        }
    }
}

/// One change to one file of a case.
#[derive(Debug, Deserialize)]
pub(super) struct Mutation {
    pub(super) name: String,
    pub(super) base: String,
    file: String,
    op: Op,
    offset: Option<usize>,
    length: Option<usize>,
    value: Option<String>,
    find: Option<String>,
    pub(super) expect: Expect,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Append,
    ReplaceText,
    Set,
    SwapWith,
    Truncate,
    Xor,
}

impl Mutation {
    /// Changes the file.
    pub(super) fn apply(&self, files: &mut Files) -> anyhow::Result<()> {
        let value = || self.value.as_deref().context("it has no value");
        let bytes = || hex::decode(value()?).context("its value is not hexadecimal");
        if let Op::SwapWith = self.op {
            let other = files.get(value()?).context("the case has no such file to swap with")?.clone();
            files.insert(self.file.clone(), other);
            return Ok(());
        }
        let file = files.get_mut(&self.file).context("the case has no such file")?;
        match self.op {
            Op::Append => file.extend(bytes()?),
            Op::ReplaceText => {
                let find = self.find.as_deref().context("it has no text to find")?;
                let text = std::str::from_utf8(file).context("the file is not text")?;
                ensure!(text.contains(find), "the file does not contain the text");
                *file = text.replace(find, value()?).into_bytes();
            }
            Op::Set | Op::Xor => {
                let (offset, bytes) = (self.offset.context("it has no offset")?, bytes()?);
                let end = offset.checked_add(bytes.len()).context("its offset is out of range")?;
                let place = file.get_mut(offset..end).context("its offset is behind the end of the file")?;
                for (to, from) in place.iter_mut().zip(bytes) {
                    *to = if matches!(self.op, Op::Xor) { *to ^ from } else { from };
                }
            }
            Op::Truncate => {
                let length = self.length.context("it has no length")?;
                ensure!(length <= file.len(), "its length is behind the end of the file");
                file.truncate(length);
            }
            Op::SwapWith => {}
        }
        Ok(())
    }
}

/// Reads `cases.json`.
pub(super) fn load(dir: &Path) -> anyhow::Result<Suite> {
    let path = dir.join("cases.json");
    let bytes = read_file(&path)?;
    let Document { schema, cases, mutations } = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is not a list of cases", path.display()))?;
    ensure!(schema == SCHEMA, "{} has schema {schema}; this version reads {SCHEMA}", path.display());
    Ok(Suite { cases, mutations })
}

/// Reads the files of a case, which lie below the directory.
pub(super) fn read_files(dir: &Path, case: &Case) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for (part, name) in &case.files {
        let name = Path::new(name);
        if !name.components().all(|part| matches!(part, Component::Normal(_))) {
            bail!("case '{}' names a file outside its directory", case.name);
        }
        files.insert(part.clone(), read_file(&dir.join(name))?);
    }
    Ok(files)
}
