//! `evidence measure snp`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vouchsafe_evidence::measure::{CpuModel, Firmware, IdAuth, IdBlock, Kernel, Launch, Vmm};
use vouchsafe_protocol::policy::LaunchDigest;
use zeroize::Zeroizing;

use super::read_file;
use crate::failure::Problem;

/// Subcommands of `vouchsafe evidence measure`.
#[derive(Clone, Debug, Subcommand)]
pub enum MeasureCommand {
    /// The launch digest of a SEV-SNP guest (MEASUREMENT), and an ID block that pins it.
    #[command(
        after_help = "Example:\n  vouchsafe evidence measure snp --ovmf OVMF.amdsev.fd --kernel vmlinuz --initrd \
                      initrd.img --append 'console=ttyS0' --vcpus 4 --vcpu-type EPYC-Milan"
    )]
    Snp(SnpArgs),
}

/// Arguments of `vouchsafe evidence measure snp`.
#[derive(Clone, Debug, Args)]
pub struct SnpArgs {
    /// Firmware volume that is measured (OVMF built for SEV)
    #[arg(long, value_name = "FILE")]
    pub ovmf: PathBuf,
    /// Kernel that the machine monitor boots directly
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Its initial RAM disk
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// Its command line
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    pub append: Option<String>,
    /// Virtual processors
    #[arg(long, value_name = "N")]
    pub vcpus: u32,
    /// Their model, as QEMU names it
    #[arg(long, value_name = "MODEL", default_value = "EPYC-v4")]
    pub vcpu_type: String,
    /// SEV_FEATURES of the guest, decimal or 0x hexadecimal
    #[arg(long, value_name = "BITS", default_value = "0x1", value_parser = number)]
    pub guest_features: u64,
    /// Machine monitor: qemu, ec2, gce or krun
    #[arg(long, value_name = "NAME", default_value = "qemu")]
    pub vmm: String,
    /// Also print the ID block that pins the digest
    #[arg(long)]
    pub id_block: bool,
    /// FAMILY_ID of the ID block, 16 bytes in hexadecimal
    #[arg(long, value_name = "HEX", requires = "id_block")]
    pub family_id: Option<String>,
    /// IMAGE_ID of the ID block, 16 bytes in hexadecimal
    #[arg(long, value_name = "HEX", requires = "id_block")]
    pub image_id: Option<String>,
    /// GUEST_SVN of the ID block
    #[arg(long, value_name = "N", requires = "id_block", default_value_t = 0)]
    pub guest_svn: u32,
    /// POLICY of the ID block, decimal or 0x hexadecimal
    #[arg(long, value_name = "BITS", requires = "id_block", default_value = "0x30000", value_parser = number)]
    pub policy: u64,
    /// Sign the ID block with this key: a P-384 private key in PEM
    #[arg(long, value_name = "FILE", requires = "id_block")]
    pub id_key: Option<PathBuf>,
    /// Have this key vouch for the ID key: a P-384 private key in PEM
    #[arg(long, value_name = "FILE", requires = "id_key")]
    pub author_key: Option<PathBuf>,
}

/// What a guest will report.
pub(super) struct Measured {
    digest: LaunchDigest,
    block: Option<(IdBlock, Option<IdAuth>)>,
}

/// Measures a launch.
///
/// # Errors
/// A file that cannot be read or is no firmware, key or such; a launch that cannot be.
pub(super) fn snp(args: &SnpArgs) -> anyhow::Result<Measured> {
    let cpu: CpuModel =
        args.vcpu_type.parse().map_err(|error| Problem::usage(format!("--vcpu-type: {error}")))?;
    let vmm: Vmm = args.vmm.parse().map_err(|error| Problem::usage(format!("--vmm: {error}")))?;
    let firmware = Firmware::parse(read_file(&args.ovmf)?)
        .with_context(|| format!("cannot measure {}", args.ovmf.display()))?;
    let kernel = args.kernel.as_deref().map(read_file).transpose()?;
    let initrd = args.initrd.as_deref().map(read_file).transpose()?.unwrap_or_default();
    let kernel = kernel.as_deref().map(|image| Kernel {
        image,
        initrd: &initrd,
        command_line: args.append.as_deref().unwrap_or_default(),
    });
    let (vcpus, features) = (args.vcpus, args.guest_features);
    let launch = Launch { firmware: &firmware, firmware_digest: None, kernel, vcpus, cpu, features, vmm };
    let digest = launch.digest().context("the launch cannot be measured")?;
    let block = args.id_block.then(|| block(args, digest)).transpose()?;
    Ok(Measured { digest, block })
}

fn block(args: &SnpArgs, digest: LaunchDigest) -> anyhow::Result<(IdBlock, Option<IdAuth>)> {
    let id = |text: &Option<String>, name: &str| -> anyhow::Result<[u8; 16]> {
        let mut id = [0; 16];
        if let Some(text) = text {
            hex::decode_to_slice(text, &mut id)
                .map_err(|_| Problem::usage(format!("{name} is not 16 bytes in hexadecimal")))?;
        }
        Ok(id)
    };
    let block = IdBlock {
        digest,
        family_id: id(&args.family_id, "--family-id")?,
        image_id: id(&args.image_id, "--image-id")?,
        guest_svn: args.guest_svn,
        policy: args.policy,
    };
    let key = |path: &PathBuf| -> anyhow::Result<Zeroizing<String>> {
        let text = String::from_utf8(read_file(path)?);
        Ok(Zeroizing::new(text.map_err(|_| Problem::usage(format!("{} is not PEM", path.display())))?))
    };
    let Some(id_key) = &args.id_key else { return Ok((block, None)) };
    let (id_key, author_key) = (key(id_key)?, args.author_key.as_ref().map(key).transpose()?);
    let auth = block
        .sign(&id_key, author_key.as_deref().map(String::as_str))
        .context("the ID block cannot be signed")?;
    Ok((block, Some(auth)))
}

impl Measured {
    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({ "launch_digest": hex::encode(self.digest.0) });
        if let (Some((block, auth)), Some(object)) = (&self.block, value.as_object_mut()) {
            object.insert("id_block".to_owned(), json!(BASE64_STANDARD.encode(block.to_bytes())));
            if let Some(IdAuth { bytes, id_key_digest, author_key_digest }) = auth {
                object.insert("id_auth".to_owned(), json!(BASE64_STANDARD.encode(bytes)));
                object.insert("id_key_digest".to_owned(), json!(hex::encode(id_key_digest.0)));
                let author = author_key_digest.map(|digest| hex::encode(digest.0));
                object.insert("author_key_digest".to_owned(), json!(author));
            }
        }
        value
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some((block, auth)) = &self.block else {
            return writeln!(out, "{}", hex::encode(self.digest.0));
        };
        writeln!(out, "launch digest      {}", hex::encode(self.digest.0))?;
        writeln!(out, "id block           {}", BASE64_STANDARD.encode(block.to_bytes()))?;
        if let Some(IdAuth { bytes, id_key_digest, author_key_digest }) = auth {
            writeln!(out, "id key digest      {}", hex::encode(id_key_digest.0))?;
            if let Some(digest) = author_key_digest {
                writeln!(out, "author key digest  {}", hex::encode(digest.0))?;
            }
            writeln!(out, "id auth            {}", BASE64_STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

/// Decimal, or hexadecimal behind 0x.
fn number(text: &str) -> Result<u64, &'static str> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "a number is decimal, or hexadecimal behind 0x")
}
