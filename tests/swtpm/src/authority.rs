//! Manufacturing: state directory, certificate authority and EK certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Where `swtpm` keeps its own state.
pub(crate) fn state_dir(dir: &Path) -> PathBuf {
    dir.join("state")
}

/// Makes the TPM of `dir` if it is not there: EKs (RSA-2048, ECC P-384) with certificates in NV.
pub(crate) fn manufacture(dir: &Path) -> Result<()> {
    let state = state_dir(dir);
    if state.join("tpm2-00.permall").exists() {
        return Ok(());
    }
    let authority = dir.join("authority");
    for made in [&state, &authority] {
        fs::create_dir_all(made).with_context(|| format!("cannot create {}", made.display()))?;
    }
    let setup = write_configuration(dir, &authority)?;
    let output = Command::new("swtpm_setup")
        .args(["--tpm2", "--create-ek-cert", "--lock-nvram", "--not-overwrite", "--pcr-banks", "sha256"])
        .arg("--tpmstate")
        .arg(&state)
        .arg("--config")
        .arg(&setup)
        .output()
        .context("cannot run swtpm_setup; install the package swtpm-tools")?;
    if !output.status.success() {
        bail!(
            "swtpm_setup failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn write_configuration(dir: &Path, authority: &Path) -> Result<PathBuf> {
    let path = |name: &str| authority.join(name).display().to_string();
    let (localca, options, setup) =
        (dir.join("localca.conf"), dir.join("localca.options"), dir.join("setup.conf"));
    let localca_text = format!(
        "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
        authority.display(),
        path("signkey.pem"),
        path("issuercert.pem"),
        path("certserial"),
    );
    let setup_text = format!(
        "create_certs_tool = {}\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\n",
        "/usr/bin/swtpm_localca",
        localca.display(),
        options.display(),
    );
    for (file, text) in [(&localca, localca_text.as_str()), (&options, ""), (&setup, &setup_text)] {
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(setup)
}

/// DER of the root, then of the issuer.
pub(crate) fn anchors(dir: &Path) -> Result<Vec<Vec<u8>>> {
    ["swtpm-localca-rootca-cert.pem", "issuercert.pem"]
        .iter()
        .map(|name| {
            let path = dir.join("authority").join(name);
            let pem = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            pem_to_der(&pem)
        })
        .collect()
}

fn pem_to_der(pem: &str) -> Result<Vec<u8>> {
    let base64: String = pem
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN CERTIFICATE"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .map(str::trim)
        .collect();
    ensure!(!base64.is_empty(), "no certificate in the PEM file");
    STANDARD.decode(base64).context("the PEM file is damaged")
}
