//! Trust anchors as flags: what a vault is initialised with, or what a first contact is verified against.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use vouchsafe_platform::sim;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::id::{AnchorClass, AnchorName};

use crate::input;

/// Anchors on the command line. AMD's roots are compiled in and need no flag.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Trust anchors")]
pub(crate) struct AnchorArgs {
    /// Roots of TPM endorsement keys, by the name that roles use: NAME=FILE[,FILE...][,simulated].
    /// Each file is DER or PEM. One simulated set makes the whole vault a simulated one.
    #[arg(long = "anchor", value_name = "NAME=FILE[,simulated]", value_parser = parse)]
    pub(crate) anchors: Vec<TpmAnchorArg>,
    /// Believe the simulated chips of this directory instead of AMD's; the vault is then a simulated one
    #[arg(long, value_name = "DIR")]
    pub(crate) simulated_root: Option<PathBuf>,
}

/// One `--anchor`.
#[derive(Clone, Debug)]
pub(crate) struct TpmAnchorArg {
    name: AnchorName,
    class: AnchorClass,
    files: Vec<PathBuf>,
}

fn parse(text: &str) -> Result<TpmAnchorArg, String> {
    const FORM: &str = "an anchor is NAME=FILE, as in cloud-vtpm=roots.pem or test=root.der,simulated";
    let (name, rest) = text.split_once('=').ok_or(FORM)?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    let (rest, class) = match rest.strip_suffix(",simulated") {
        Some(rest) => (rest, AnchorClass::Simulated),
        None => (rest, AnchorClass::Hardware),
    };
    if rest.split(',').any(str::is_empty) {
        return Err(FORM.to_owned());
    }
    Ok(TpmAnchorArg { name, class, files: rest.split(',').map(PathBuf::from).collect() })
}

impl AnchorArgs {
    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Anchors> {
        let amd = match &self.simulated_root {
            Some(dir) => {
                let root = sim::fleet_root(dir).context("the simulated root cannot be used")?;
                AmdAnchors::Simulated(vec![root])
            }
            None => AmdAnchors::BuiltIn,
        };
        let tpm = self.anchors.iter().map(TpmAnchorArg::load).collect::<Result<_>>()?;
        Ok(Anchors { amd, tpm })
    }
}

impl TpmAnchorArg {
    fn load(&self) -> Result<TpmAnchor> {
        let mut certificates = Vec::new();
        for file in &self.files {
            certificates.extend(input::ders(file, "CERTIFICATE")?);
        }
        Ok(TpmAnchor { name: self.name.clone(), class: self.class, certificates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_names_files_and_its_class() {
        let anchor = parse("test=a.der,b.pem,simulated").unwrap();
        assert_eq!(anchor.name.as_str(), "test");
        assert_eq!(anchor.class, AnchorClass::Simulated);
        assert_eq!(anchor.files, [PathBuf::from("a.der"), PathBuf::from("b.pem")]);
        assert_eq!(parse("hw=a").unwrap().class, AnchorClass::Hardware);
        for text in ["", "a", "a=", "=b", "a=,simulated", "A=b", "a=b,,c"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
