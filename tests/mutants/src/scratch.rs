//! The copy that is rewritten, and its build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::accepted::row;
use crate::mutate::{Mutant, Mutator};

/// Where the crate lies whose checks are removed.
const CRATE: &str = "attestation";
/// Its manifest, which gets the switch as a dependency.
const MANIFEST: &str = "attestation/Cargo.toml";
/// Builds before giving up on defects that do not compile.
const BUILDS: usize = 12;

/// A copy of the workspace below `target/mutants`.
pub struct Scratch {
    root: PathBuf,
    tree: PathBuf,
    build: PathBuf,
}

/// Whether the crate's own tests are built as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnTests {
    /// They are not.
    Left,
    /// They are.
    Run,
}

/// What the build made.
pub struct Built {
    /// Every place, with its number.
    pub mutants: Vec<Mutant>,
    /// Places whose rewriting does not compile.
    pub not_built: usize,
    /// The program that runs cases.
    pub runner: PathBuf,
    /// Test programs of the crate.
    pub tests: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    message: Option<Diagnostic>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    message: String,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: usize,
    line_end: usize,
}

impl Scratch {
    /// Below the `target` of a workspace.
    pub fn of(root: &Path) -> Self {
        let below = root.join("target/mutants");
        Self { root: root.to_owned(), tree: below.join("tree"), build: below.join("build") }
    }

    /// Copies every file that git knows or would know, as it is now. A file that did not change keeps its date.
    /// Returns what is rewritten, as it was when it was read.
    fn copy(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .context("git cannot be run")?;
        ensure!(output.status.success(), "git cannot list the files");
        let (mut files, mut sources) = (BTreeSet::new(), BTreeMap::new());
        for name in String::from_utf8(output.stdout)?.split_terminator('\0') {
            let from = self.root.join(name);
            // Deleted, but not yet in a commit; or a link to somewhere.
            if !from.is_file() {
                continue;
            }
            files.insert(name.to_owned());
            if is_rewritten(name) || name == MANIFEST {
                sources.insert(name.to_owned(), fs::read_to_string(&from)?);
            } else {
                write_if_changed(&self.tree.join(name), &fs::read(&from)?)?;
            }
        }
        self.remove_others(&files)?;
        Ok(sources)
    }

    /// A module that is gone must not stay in the copy of the crate.
    fn remove_others(&self, files: &BTreeSet<String>) -> anyhow::Result<()> {
        let mut folders = vec![self.tree.join(CRATE)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.strip_prefix(&self.tree)?.to_str()
                    && !files.contains(name)
                {
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    fn rewrite(
        &self,
        sources: &BTreeMap<String, String>,
        skip: &BTreeSet<usize>,
    ) -> anyhow::Result<Vec<Mutant>> {
        let mut mutator = Mutator::new(skip);
        for (name, source) in sources.iter().filter(|(name, _)| is_rewritten(name)) {
            let text = mutator.rewrite(name, source).with_context(|| format!("{name} cannot be parsed"))?;
            write_if_changed(&self.tree.join(name), text.as_bytes())?;
        }
        let manifest = sources.get(MANIFEST).context("the crate has no manifest")?;
        let switch = "\n[dependencies]\nvouchsafe-mutants-switch = { path = \"../tests/mutants/switch\" }\n";
        ensure!(manifest.contains("\n[dependencies]\n"), "the manifest has no dependencies");
        let manifest = manifest.replacen("\n[dependencies]\n", switch, 1);
        write_if_changed(&self.tree.join(MANIFEST), manifest.as_bytes())?;
        Ok(mutator.mutants)
    }

    /// Copies, rewrites and builds. Places that do not compile are left out, and it is built again.
    pub fn build(&self, own_tests: OwnTests) -> anyhow::Result<Built> {
        let sources = self.copy()?;
        let remembered = self.tree.with_file_name("not-built.json");
        let mut skip = self.remembered(&sources, &remembered)?;
        for _ in 0..BUILDS {
            let mutants = self.rewrite(&sources, &skip)?;
            let messages = self.cargo(&["build", "-p", "vouchsafe-mutants-runner"])?;
            let mut broken = self.broken(&messages)?;
            if broken.is_empty() {
                let tests = match own_tests {
                    OwnTests::Left => Vec::new(),
                    OwnTests::Run => {
                        self.cargo(&["test", "--no-run", "-p", "vouchsafe-attestation", "--all-features"])?
                    }
                };
                broken = self.broken(&tests)?;
                if broken.is_empty() {
                    let runner = self.build.join("debug/vouchsafe-mutants-runner");
                    ensure!(runner.is_file(), "the build made no runner");
                    let tests = tests
                        .into_iter()
                        .filter(|message| message.profile.as_ref().is_some_and(|profile| profile.test))
                        .filter_map(|message| message.executable)
                        .collect();
                    return Ok(Built { mutants, not_built: skip.len(), runner, tests });
                }
            }
            let names: Vec<String> =
                mutants.iter().filter(|mutant| broken.contains(&mutant.id)).map(row).collect();
            let mut known: Vec<String> = fs::read(&remembered)
                .ok()
                .and_then(|json| serde_json::from_slice(&json).ok())
                .unwrap_or_default();
            known.extend(names);
            fs::write(&remembered, serde_json::to_vec_pretty(&known)?)?;
            skip.extend(broken);
        }
        bail!("the copy does not compile; see above")
    }

    /// Places that did not compile the last time: each would cost one more build.
    fn remembered(&self, sources: &BTreeMap<String, String>, from: &Path) -> anyhow::Result<BTreeSet<usize>> {
        let Ok(json) = fs::read(from) else { return Ok(BTreeSet::new()) };
        let known: BTreeSet<String> = serde_json::from_slice(&json)?;
        let mutants = self.rewrite(sources, &BTreeSet::new())?;
        Ok(mutants.iter().filter(|mutant| known.contains(&row(mutant))).map(|mutant| mutant.id).collect())
    }

    fn cargo(&self, arguments: &[&str]) -> anyhow::Result<Vec<Message>> {
        let output = Command::new("cargo")
            .args(arguments)
            .args(["--message-format=json", "--quiet", "--offline"])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("RUSTFLAGS", "-Awarnings")
            .stderr(Stdio::inherit())
            .output()
            .context("cargo cannot be run")?;
        let lines = String::from_utf8(output.stdout)?;
        let messages: Vec<Message> =
            lines.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("cargo's messages")?;
        let told = messages.iter().filter_map(|message| message.message.as_ref());
        let explained = told.into_iter().any(|message| message.level == "error");
        ensure!(output.status.success() || explained, "the build failed without saying where");
        Ok(messages)
    }

    /// The numbers of places that an error is about.
    fn broken(&self, messages: &[Message]) -> anyhow::Result<BTreeSet<usize>> {
        let mut broken = BTreeSet::new();
        for message in messages.iter().filter(|message| message.reason == "compiler-message") {
            let Some(diagnostic) = message.message.as_ref().filter(|told| told.level == "error") else {
                continue;
            };
            let before = broken.len();
            for span in &diagnostic.spans {
                if is_rewritten(&span.file_name) {
                    broken.extend(self.places_near(span)?);
                }
            }
            // "aborting due to ..." has no spans.
            ensure!(
                broken.len() > before || diagnostic.spans.is_empty(),
                "the copy does not compile, and not because of a defect: {}",
                diagnostic.message
            );
        }
        Ok(broken)
    }

    /// The places on the lines of an error, or else the nearest before.
    fn places_near(&self, span: &Span) -> anyhow::Result<Vec<usize>> {
        let text = fs::read_to_string(self.tree.join(&span.file_name))?;
        let lines: Vec<&str> = text.lines().collect();
        let within = |from: usize| -> Vec<usize> {
            let lines = lines.get(from.saturating_sub(1)..span.line_end).unwrap_or_default();
            lines.iter().flat_map(|line| places_on(line)).collect()
        };
        let start = span.line_start;
        let found = (0..12).map(|back| within(start.saturating_sub(back))).find(|places| !places.is_empty());
        Ok(found.unwrap_or_default())
    }
}

/// Source of the crate that is not only for tests.
fn is_rewritten(name: &str) -> bool {
    name.starts_with("attestation/src/")
        && name.ends_with(".rs")
        && !name.split('/').any(|part| part == "tests" || part == "tests.rs")
}

fn places_on(line: &str) -> Vec<usize> {
    line.split("vouchsafe_mutants_switch::on(")
        .skip(1)
        .filter_map(|rest| rest.split_once("usize").and_then(|(number, _)| number.parse().ok()))
        .collect()
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}
