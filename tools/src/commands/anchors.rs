//! Trust anchors as flags: what a vault is initialised with, or what a first contact is verified against.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use vouchsafe_platform::sim;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::id::{AnchorClass, AnchorName};
use vouchsafe_protocol::policy::TpmKind;

use crate::input;

/// Anchors on the command line. AMD's roots are compiled in and need no flag.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Trust anchors")]
pub(crate) struct AnchorArgs {
    /// Roots of TPM endorsement and attestation keys, by the name that roles use:
    /// NAME=FILE[,FILE...],KIND[,simulated]. KIND says what these TPMs are: 'hardware' (also a machine's own
    /// firmware) or 'host-virtual' (the owner of the host runs them). Each file is DER or PEM. One simulated set
    /// makes the whole vault a simulated one.
    #[arg(long = "anchor", value_name = "NAME=FILE,KIND[,simulated]", value_parser = parse)]
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
    kind: TpmKind,
    files: Vec<PathBuf>,
}

fn parse(text: &str) -> Result<TpmAnchorArg, String> {
    const FORM: &str = "an anchor is NAME=FILE,KIND with KIND 'hardware' or 'host-virtual', as in \
                        maker=roots.pem,hardware or cloud-vtpm=roots.pem,host-virtual or test=root.der,hardware,simulated";
    let (name, rest) = text.split_once('=').ok_or(FORM)?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    let (rest, class) = match rest.strip_suffix(",simulated") {
        Some(rest) => (rest, AnchorClass::Simulated),
        None => (rest, AnchorClass::Hardware),
    };
    let (files, kind) = rest.rsplit_once(',').ok_or(FORM)?;
    let kind = match kind {
        "hardware" => TpmKind::Hardware,
        "host-virtual" => TpmKind::HostVirtual,
        _ => return Err(FORM.to_owned()),
    };
    if files.split(',').any(str::is_empty) {
        return Err(FORM.to_owned());
    }
    Ok(TpmAnchorArg { name, class, kind, files: files.split(',').map(PathBuf::from).collect() })
}

impl AnchorArgs {
    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        self.anchors.is_empty() && self.simulated_root.is_none()
    }

    /// AMD's own roots alone.
    pub(crate) fn amd_only() -> Anchors {
        Anchors { amd: AmdAnchors::BuiltIn, tpm: Vec::new() }
    }

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
        Ok(TpmAnchor { name: self.name.clone(), class: self.class, kind: self.kind, certificates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t13_an_anchor_names_files_its_kind_and_its_class() {
        let anchor = parse("test=a.der,b.pem,host-virtual,simulated").unwrap();
        assert_eq!(anchor.name.as_str(), "test");
        assert_eq!((anchor.class, anchor.kind), (AnchorClass::Simulated, TpmKind::HostVirtual));
        assert_eq!(anchor.files, [PathBuf::from("a.der"), PathBuf::from("b.pem")]);
        let hardware = parse("hw=a,hardware").unwrap();
        assert_eq!((hardware.class, hardware.kind), (AnchorClass::Hardware, TpmKind::Hardware));
        for text in [
            "",
            "a",
            "a=",
            "=b,hardware",
            "a=,hardware",
            "A=b,hardware",
            "a=b,,c,hardware",
            "a=b",
            "a=b,simulated",
            "a=b,c",
            "a=hardware",
            "a=b,simulated,hardware,",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
