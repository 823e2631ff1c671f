//! Against vectors of `sev-snp-measure` and of the `sev` crate (from the directory of evidence, skipped loudly where
//! it is missing), against the `sev` crate's own calculator, and against firmware that is cut short.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType};
use sev::parser::ByteParser;

use super::*;
use crate::runner::launch::check_vectors;
use crate::test_evidence::evidence;

/// A volume of one page, by hand: metadata with one section of each kind, reset block, hash table, footer.
fn volume() -> Vec<u8> {
    let entry = |data: &[u8], guid: &str| {
        let len = u16::try_from(data.len() + 18).unwrap();
        [data, &len.to_le_bytes(), &guid_bytes(guid)].concat()
    };
    let sections: [(u32, u32, u32); 5] = [
        (0x80_0000, 0x2000, 1),
        (0x80_d000, 0x1000, 2),
        (0x80_e000, 0x1000, 3),
        (0x80_f000, 0x1000, 4),
        (0x81_0000, 0x1000, 16),
    ];
    let mut metadata =
        [b"ASEV".as_slice(), &76u32.to_le_bytes(), &1u32.to_le_bytes(), &5u32.to_le_bytes()].concat();
    for (address, len, kind) in sections {
        metadata.extend([address, len, kind].iter().flat_map(|word| word.to_le_bytes()));
    }
    let mut table = Vec::new();
    // From the end: the metadata begins at byte 16.
    table.extend(entry(&(4096u32 - 16).to_le_bytes(), "dc886566-984a-4798-a75e-5585a7bf67cc"));
    table.extend(entry(&0x80_b004u32.to_le_bytes(), "00f771de-1a7e-4fcb-890e-68c77e2fb44e"));
    table.extend(entry(&[0x00, 0x0c, 0x81, 0, 0, 4, 0, 0], "7255371f-3a3b-4b04-927b-1da6efa8d454"));
    let footer = u16::try_from(table.len() + 18).unwrap();
    table.extend(footer.to_le_bytes());
    table.extend(guid_bytes("96b582de-1fb2-45f7-baea-a366c55a082d"));
    let mut volume = vec![0xf0; 16];
    volume.extend(metadata);
    volume.resize(4096 - 32 - table.len(), 0xf1);
    volume.extend(table);
    volume.resize(4096, 0xf2);
    volume
}

/// The mixed-endian form of a GUID.
fn guid_bytes(text: &str) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = text.split('-').map(|part| hex::decode(part).unwrap()).collect();
    let swapped = parts.iter().take(3).flat_map(|part| part.iter().rev().copied());
    swapped.chain(parts.iter().skip(3).flatten().copied()).collect()
}

fn launch(firmware: &Firmware) -> Launch<'_> {
    Launch {
        firmware,
        firmware_digest: None,
        kernel: None,
        vcpus: 1,
        cpu: CpuModel::default(),
        features: 1,
        vmm: Vmm::Qemu,
    }
}

#[test]
fn vectors_of_sev_snp_measure_come_out() {
    let Some(dir) = evidence() else { return };
    let read = |name: &str| std::fs::read(dir.join("launch").join(name)).unwrap();
    let files = [
        ("vectors", read("vectors-snp.json")),
        ("ovmf_amdsev", read("ovmf-amdsev-suffix.bin")),
        ("ovmf_x64", read("ovmf-ovmfx64-suffix.bin")),
    ];
    let mut files = files.map(|(part, bytes)| (part.to_owned(), bytes)).into();
    assert_eq!(check_vectors(&files), Ok(15));
    // A vector that expects something else is noticed.
    let text = String::from_utf8(files["vectors"].clone()).unwrap();
    files.insert("vectors".to_owned(), text.replace("329c8ce0", "329c8ce1").into_bytes());
    assert!(check_vectors(&files).is_err());
}

#[test]
fn the_calculator_of_the_sev_crate_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let bytes = volume();
    let (path, kernel, initrd) =
        (write("ovmf", &bytes), write("kernel", b"kernel"), write("initrd", b"initrd"));
    let firmware = Firmware::parse(bytes).unwrap();
    let monitors = [(Vmm::Qemu, VMMType::QEMU), (Vmm::Ec2, VMMType::EC2), (Vmm::Krun, VMMType::KRUN)];
    let models = [
        (CpuType::EpycV4, "EPYC-v4"),
        (CpuType::EpycMilan, "EPYC-Milan"),
        (CpuType::EpycTurin, "EPYC-Turin"),
    ];
    for (vmm, theirs) in monitors {
        for (cpu, name) in models {
            for vcpus in [1, 2, 5] {
                for features in [1u64, 0x21] {
                    for with_kernel in [false, true] {
                        let expected = snp_calc_launch_digest(SnpMeasurementArgs {
                            vcpus,
                            vcpu_type: cpu,
                            ovmf_file: path.clone(),
                            guest_features: GuestFeatures::from_bytes(&features.to_le_bytes()).unwrap(),
                            kernel_file: with_kernel.then(|| kernel.clone()),
                            initrd_file: with_kernel.then(|| initrd.clone()),
                            append: with_kernel.then_some(" console=ttyS0 "),
                            ovmf_hash_str: None,
                            vmm_type: Some(theirs),
                        })
                        .unwrap();
                        let kernel = with_kernel.then_some(Kernel {
                            image: b"kernel",
                            initrd: b"initrd",
                            command_line: " console=ttyS0 ",
                        });
                        let cpu = name.parse().unwrap();
                        let ours = Launch { kernel, vcpus, cpu, features, vmm, ..launch(&firmware) };
                        assert_eq!(hex::encode(ours.digest().unwrap().0), expected.get_hex_ld());
                    }
                }
            }
        }
    }
}

#[test]
fn every_input_changes_the_digest() {
    let firmware = Firmware::parse(volume()).unwrap();
    let base = launch(&firmware);
    let kernel = Kernel { image: b"k", initrd: b"", command_line: "a" };
    let other = Kernel { command_line: "b", ..kernel };
    let all = [
        base,
        Launch { vcpus: 2, ..base },
        Launch { features: 3, ..base },
        Launch { cpu: "EPYC-Milan".parse().unwrap(), ..base },
        Launch { vmm: Vmm::Gce, ..base },
        Launch { kernel: Some(kernel), ..base },
        Launch { kernel: Some(other), ..base },
        Launch { kernel: Some(Kernel { initrd: b"i", ..kernel }), ..base },
        Launch { firmware_digest: Some(LaunchDigest([7; 48])), ..base },
    ];
    let digests: std::collections::BTreeSet<_> = all.iter().map(|launch| launch.digest().unwrap()).collect();
    assert_eq!(digests.len(), all.len());
}

#[test]
fn firmware_that_is_cut_or_changed_is_refused_without_a_panic() {
    let volume = volume();
    for len in 0..volume.len() {
        let firmware = Firmware::parse(volume[..len].to_vec());
        assert!(firmware.is_err(), "{len}");
    }
    // Any byte of the tables, any value of interest: a digest or a refusal, never a panic.
    for at in (0..100).chain(volume.len() - 160..volume.len()) {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut changed = volume.clone();
            changed[at] = value;
            if let Ok(firmware) = Firmware::parse(changed) {
                let result = Launch { vcpus: 2, ..launch(&firmware) }.digest();
                assert!(result.is_ok() || result == Err(MeasureError::NoResetVector));
            }
        }
    }
    assert_eq!(Firmware::parse(Vec::new()).unwrap_err(), FirmwareError::Length { len: 0 });
    let mut other = volume.clone();
    other[16..20].copy_from_slice(b"BSEV");
    assert_eq!(Firmware::parse(other).unwrap_err(), FirmwareError::Metadata);
    let mut other = volume.clone();
    other[40] = 9;
    assert_eq!(Firmware::parse(other).unwrap_err(), FirmwareError::Section { kind: 9 });
    let mut other = volume;
    other[39] = 0xff;
    assert!(matches!(Firmware::parse(other), Err(FirmwareError::SectionLength { .. })));
}

#[test]
fn a_launch_that_cannot_be_is_refused() {
    let mut volume = volume();
    let firmware = Firmware::parse(volume.clone()).unwrap();
    for vcpus in [0, VCPUS + 1, u32::MAX] {
        assert_eq!(Launch { vcpus, ..launch(&firmware) }.digest(), Err(MeasureError::Vcpus { vcpus }));
    }
    // The last section becomes one of memory: no room for hashes.
    volume[16 + 16 + 4 * 12 + 8] = 1;
    let firmware = Firmware::parse(volume.clone()).unwrap();
    let kernel = Some(Kernel { image: b"k", initrd: b"", command_line: "" });
    assert_eq!(Launch { kernel, ..launch(&firmware) }.digest(), Err(MeasureError::NoKernelHashes));
    // A byte more in front: the tables still read, and the pages do not add up.
    volume.insert(0, 0);
    let firmware = Firmware::parse(volume).unwrap();
    assert_eq!(launch(&firmware).digest(), Err(MeasureError::Pages { len: 4097 }));
}

/// Test keys of the `sev` crate (virtee/sev, tests/measurement), and what it makes of them.
const ID_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDPZQkU2FP1ii90R+e7
/ShQ/rzUzsS8X7kVJ0nJAxcrS1oMD8nKjfsKKfBWJ8nbCyqhZANiAAT2dj5NJgnP
GyzyLyzIuMpM9V1HDDwjVSyTsWiHQ5Ddlcs/3uhH3fef8p77uIA8bR/M16jQR7nN
wcdQsRkKvm0drTeo3ssUMnt2Zhn3EmB8/Q04hTxQ2pvNCAs1OJyTvj4=
-----END PRIVATE KEY-----";
const AUTHOR_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAyp3rzsOsAMVIVbtmS
QEU83YC5r0EOWZfSX3wwiBQytEjoVsXDBPTpvvyzM2aZ27ChZANiAARicMeL1pBM
0TNimaJbmHNqcc6S/vB0lNcssosHPIMPn1ZK96XBxv/Fo0lz1dpFhoyGPHkwosmE
SKd6EAiBAuKpX5MIzT5WtVm3/TrMiLPMKhl3Q0j+ovLJAxGR4HGHrPU=
-----END PRIVATE KEY-----";
const LAUNCH_DIGEST: &str =
    "a14d638341e5674628fe1e02fbedebe5e5ab4faf1dd72d8966068e615bb99efd13d214b35c231715b38e263dc6059745";
const ID_BLOCK: &str = "oU1jg0HlZ0Yo/h4C++3r5eWrT68d1y2JZgaOYVu5nv0T0hSzXCMXFbOOJj3GBZdFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                        AAAAAAAAAAABAAAAAAAAAAAAAwAAAAAA";
const ID_KEY_DIGEST: &str = "WfssaG36T+9J84M5qndckAUcKNVzg93DuvO160sUlt87DbvcuuX+J2d6ZEggdz/i";
const AUTHOR_KEY_DIGEST: &str = "7tgRafsMteDsNHlPEo/U4MSkb2fGWhrfqB/LJLzAiMJyNpt//D6ytq9qQoShs2xf";

fn id_block() -> IdBlock {
    let digest = LaunchDigest(hex::decode(LAUNCH_DIGEST).unwrap().try_into().unwrap());
    IdBlock { digest, family_id: [0; 16], image_id: [0; 16], guest_svn: 0, policy: 0x3_0000 }
}

#[test]
fn the_id_block_and_key_digests_of_the_sev_crate_come_out() {
    assert_eq!(STANDARD.encode(id_block().to_bytes()), ID_BLOCK);
    let auth = id_block().sign(ID_KEY, Some(AUTHOR_KEY)).unwrap();
    assert_eq!(STANDARD.encode(auth.id_key_digest.0), ID_KEY_DIGEST);
    assert_eq!(STANDARD.encode(auth.author_key_digest.unwrap().0), AUTHOR_KEY_DIGEST);
    assert_eq!(key_digest(AUTHOR_KEY).unwrap(), auth.author_key_digest.unwrap());
    assert_eq!(id_block().to_bytes().len(), 96);
}

#[test]
fn both_signatures_of_the_authentication_information_verify() {
    let auth = id_block().sign(ID_KEY, Some(AUTHOR_KEY)).unwrap().bytes;
    assert_eq!(auth.len(), 4096);
    assert_eq!(auth[..8], [1, 0, 0, 0, 1, 0, 0, 0]);
    let big_endian = |at: usize| -> [u8; 48] {
        assert_eq!(auth[at + 48..at + 72], [0; 24]);
        let mut number: [u8; 48] = auth[at..at + 48].try_into().unwrap();
        number.reverse();
        number
    };
    let verify = |key: usize, signature: usize, message: &[u8]| {
        assert_eq!(auth[key..key + 4], [2, 0, 0, 0]);
        let point = [&[4], big_endian(key + 4).as_slice(), &big_endian(key + 76)].concat();
        let (r, s) = (big_endian(signature), big_endian(signature + 72));
        vouchsafe_crypto::verify::verify_p384_fixed(&point, message, &r, &s).unwrap();
    };
    verify(0x240, 0x40, &id_block().to_bytes());
    verify(0x880, 0x680, &auth[0x240..0x644]);
}

#[test]
fn without_an_author_its_parts_are_zero() {
    let auth = id_block().sign(ID_KEY, None).unwrap();
    assert_eq!(auth.author_key_digest, None);
    assert_eq!(auth.bytes[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert!(auth.bytes[0x680..].iter().all(|byte| *byte == 0));
    assert_eq!(id_block().sign("no key", None), Err(IdKeyError::Key));
}
