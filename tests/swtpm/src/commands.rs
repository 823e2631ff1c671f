//! The few raw TPM commands that a machine's firmware, owner or attacker sends (TPM 2.0 Part 3).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context, Result, bail, ensure};

const RH_LOCKOUT: u32 = 0x4000_000A;
const RH_OWNER: u32 = 0x4000_0001;
/// Longest response read, in bytes; TPM responses stay under 4 KiB.
const MAX_RESPONSE: usize = 4096;

/// A TPM's response code; zero is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseCode(pub u32);

/// What a TPM answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmResponse {
    /// The response code.
    pub code: ResponseCode,
    /// The bytes after the header.
    pub body: Vec<u8>,
}

impl TpmResponse {
    /// Refuses any code but success.
    ///
    /// # Errors
    /// When the TPM refused.
    pub fn success(&self, command: &str) -> Result<()> {
        if self.code.0 != 0 {
            bail!("{command} was refused with code {:#x}", self.code.0);
        }
        Ok(())
    }

    /// The last 32 bytes: the value that `TPM2_PCR_Read` of one PCR ends with.
    #[must_use]
    pub fn digest_tail(&self) -> Option<[u8; 32]> {
        self.body.last_chunk().copied()
    }
}

pub(crate) fn send(port: u16, command: &[u8]) -> Result<TpmResponse> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("no swtpm answers on port {port}"))?;
    stream.write_all(command)?;
    let mut header = [0; 10];
    stream.read_exact(&mut header)?;
    let [_, _, s0, s1, s2, s3, c0, c1, c2, c3] = header;
    let len = usize::try_from(u32::from_be_bytes([s0, s1, s2, s3]))?;
    ensure!((header.len()..=MAX_RESPONSE).contains(&len), "the TPM's answer has a length of {len}");
    let mut body = vec![0; len - header.len()];
    stream.read_exact(&mut body)?;
    Ok(TpmResponse { code: ResponseCode(u32::from_be_bytes([c0, c1, c2, c3])), body })
}

/// Reads one PCR of the SHA-256 bank.
#[cfg(test)]
pub(crate) fn pcr_read(pcr: u8) -> Vec<u8> {
    let mut parameters = vec![0, 0, 0, 1, 0x00, 0x0B, 3, 0, 0, 0];
    if let Some(byte) = parameters.get_mut(7 + usize::from(pcr / 8)) {
        *byte = 1 << (pcr % 8);
    }
    frame(0x8001, 0x0000_017E, &parameters)
}

pub(crate) fn pcr_extend(pcr: u8, digest: [u8; 32]) -> Vec<u8> {
    let mut parameters = vec![0, 0, 0, 1, 0x00, 0x0B];
    parameters.extend_from_slice(&digest);
    authorized(0x0000_0182, &[u32::from(pcr)], &parameters)
}

pub(crate) fn clear() -> Vec<u8> {
    authorized(0x0000_0126, &[RH_LOCKOUT], &[])
}

pub(crate) fn nv_undefine(index: u32) -> Vec<u8> {
    authorized(0x0000_0122, &[RH_OWNER, index], &[])
}

pub(crate) fn nv_define_counter(index: u32, attributes: u32) -> Vec<u8> {
    let mut public = index.to_be_bytes().to_vec();
    public.extend_from_slice(&[0x00, 0x0B]);
    public.extend_from_slice(&attributes.to_be_bytes());
    public.extend_from_slice(&[0, 0, 0, 8]);
    let mut parameters = vec![0, 0, 0, 14];
    parameters.extend_from_slice(&public);
    authorized(0x0000_012A, &[RH_OWNER], &parameters)
}

pub(crate) fn nv_increment(index: u32) -> Vec<u8> {
    authorized(0x0000_0134, &[index, index], &[])
}

/// An ordinary index that its owner writes and anybody with the empty authorisation value reads: OWNERWRITE (1),
/// OWNERREAD (17), AUTHREAD (18), NO_DA (25).
pub(crate) fn nv_define_data(index: u32, len: u16) -> Vec<u8> {
    let mut public = index.to_be_bytes().to_vec();
    public.extend_from_slice(&[0x00, 0x0B]);
    public.extend_from_slice(&0x0206_0002_u32.to_be_bytes());
    public.extend_from_slice(&[0, 0]);
    public.extend_from_slice(&len.to_be_bytes());
    let mut parameters = vec![0, 0, 0, 14];
    parameters.extend_from_slice(&public);
    authorized(0x0000_012A, &[RH_OWNER], &parameters)
}

pub(crate) fn nv_write(index: u32, offset: u16, part: &[u8]) -> Vec<u8> {
    let mut parameters = u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    parameters.extend_from_slice(part);
    parameters.extend_from_slice(&offset.to_be_bytes());
    authorized(0x0000_0137, &[RH_OWNER, index], &parameters)
}

/// A command with one empty password authorisation.
fn authorized(code: u32, handles: &[u32], parameters: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    body.extend_from_slice(&[0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    body.extend_from_slice(parameters);
    frame(0x8002, code, &body)
}

fn frame(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 10).unwrap_or(u32::MAX);
    [&tag.to_be_bytes()[..], &len.to_be_bytes(), &code.to_be_bytes(), body].concat()
}
