//! A document with its files, in memory: a directory that was read, a bundle that was collected, a corpus that was
//! made. And the directory form of all three.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use crate::schema::{AmdRootFiles, Case, Document, Files, SCHEMA};

/// Name of the document in a directory.
pub const DOCUMENT: &str = "cases.json";
/// Largest file read, in bytes: real evidence stays far below, and a wrong path should not fill memory.
pub const FILE_LEN: u64 = 16 * 1024 * 1024;
/// Most bytes that all files of a directory may have together.
pub const SUITE_LEN: u64 = 256 * 1024 * 1024;

/// A document and the files that it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suite {
    /// The document.
    pub document: Document,
    /// Contents by name, relative to the directory.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Why a directory cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a document of this schema.
    #[error("{} is not a list of cases", path.display())]
    Json {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file, or all of them together, are too large.
    #[error("{} is too large: one file may have {FILE_LEN} bytes, all together {SUITE_LEN}", path.display())]
    Large {
        /// File.
        path: PathBuf,
    },
    /// A bundle holds one case.
    #[error("{} holds {cases} cases; a bundle has exactly one and no mutation", path.display())]
    NotABundle {
        /// Directory.
        path: PathBuf,
        /// How many.
        cases: usize,
    },
    /// A case names a file elsewhere.
    #[error("a case names a file outside its directory")]
    Outside,
    /// Another version of the schema.
    #[error("{} has schema {schema}; this version reads {SCHEMA}", path.display())]
    Schema {
        /// File.
        path: PathBuf,
        /// Version.
        schema: u32,
    },
}

impl Suite {
    /// Reads `cases.json` of a directory, and every file that it names.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn read(dir: &Path) -> Result<Self, SuiteError> {
        let path = dir.join(DOCUMENT);
        let document: Document = serde_json::from_slice(&read_file(&path)?)
            .map_err(|source| SuiteError::Json { path: path.clone(), source })?;
        if document.schema != SCHEMA {
            return Err(SuiteError::Schema { path, schema: document.schema });
        }
        let mut files = BTreeMap::new();
        let mut total = 0u64;
        for name in document.file_names() {
            if files.contains_key(name) {
                continue;
            }
            let path = dir.join(below(name)?);
            let bytes = read_file(&path)?;
            total = total.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            if total > SUITE_LEN {
                return Err(SuiteError::Large { path });
            }
            files.insert(name.to_owned(), bytes);
        }
        Ok(Self { document, files })
    }

    /// Writes the document and every file into a directory, which it makes.
    ///
    /// # Errors
    /// [`SuiteError::Io`], [`SuiteError::Outside`], [`SuiteError::Json`].
    pub fn write(&self, dir: &Path) -> Result<(), SuiteError> {
        for (name, bytes) in &self.files {
            write_file(&dir.join(below(name)?), bytes)?;
        }
        let path = dir.join(DOCUMENT);
        let mut json = serde_json::to_vec_pretty(&self.document)
            .map_err(|source| SuiteError::Json { path: path.clone(), source })?;
        json.push(b'\n');
        write_file(&path, &json)
    }

    /// The files of a case by their part in it; a file that is not there is left out.
    #[must_use]
    pub fn files_of(&self, case: &Case) -> Files {
        case.files
            .iter()
            .filter_map(|(part, name)| Some((part.clone(), self.files.get(name)?.clone())))
            .collect()
    }
}

impl Document {
    /// Every file that the document names, with repetitions.
    fn file_names(&self) -> impl Iterator<Item = &str> {
        let amd = self.anchors.iter().flat_map(BTreeMap::values);
        let amd = amd.flat_map(|AmdRootFiles { ark, ask }| [ark, ask]);
        let tpm = self.tpm_anchors.iter().flat_map(BTreeMap::values).flat_map(|set| &set.certificates);
        let cases = self.cases.iter().flat_map(|case| case.files.values());
        amd.chain(tpm).chain(cases).map(String::as_str)
    }
}

/// One case with its files: what `vouchsafe evidence collect` writes and everything else reads. As a directory it is
/// a document with one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bundle {
    /// The case. Its files are named as their parts are.
    pub case: Case,
    /// Contents by part.
    pub files: Files,
}

impl Bundle {
    /// Reads a directory.
    ///
    /// # Errors
    /// [`SuiteError`]; [`SuiteError::NotABundle`] unless it holds exactly one case.
    pub fn read(dir: &Path) -> Result<Self, SuiteError> {
        let suite = Suite::read(dir)?;
        match suite.document.cases.as_slice() {
            [case] if suite.document.mutations.is_empty() => {
                Ok(Self { files: suite.files_of(case), case: case.clone() })
            }
            cases => Err(SuiteError::NotABundle { path: dir.to_owned(), cases: cases.len() }),
        }
    }

    /// Writes a directory, which it makes.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn write(&self, dir: &Path) -> Result<(), SuiteError> {
        self.to_suite().write(dir)
    }

    /// As a document with one case.
    #[must_use]
    pub fn to_suite(&self) -> Suite {
        let name = |part: &str| format!("{part}.{}", extension(part));
        let case = Case {
            files: self.files.keys().map(|part| (part.clone(), name(part))).collect(),
            ..self.case.clone()
        };
        let files = self.files.iter().map(|(part, bytes)| (name(part), bytes.clone())).collect();
        let document = Document { schema: SCHEMA, cases: vec![case], ..Document::default() };
        Suite { document, files }
    }
}

/// What a part is usually stored as.
fn extension(part: &str) -> &'static str {
    match part {
        "pcrs" => "json",
        "ima_log" => "txt",
        "ark" | "ask" | "vcek" | "vlek" | "crl" | "akcert" | "ekcert" => "der",
        _ => "bin",
    }
}

/// Reads a whole file of at most [`FILE_LEN`] bytes.
///
/// # Errors
/// [`SuiteError::Io`], [`SuiteError::Large`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, SuiteError> {
    let io = |source| SuiteError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(FILE_LEN + 1).read_to_end(&mut bytes).map_err(io)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= FILE_LEN) {
        Ok(bytes)
    } else {
        Err(SuiteError::Large { path: path.to_owned() })
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), SuiteError> {
    let io = |source| SuiteError::Io { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    fs::write(path, bytes).map_err(io)
}

/// A name that stays in its directory.
fn below(name: &str) -> Result<&Path, SuiteError> {
    let path = Path::new(name);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    if stays && path.components().next().is_some() { Ok(path) } else { Err(SuiteError::Outside) }
}
