use super::*;

fn key_blob() -> KeyBlob {
    KeyBlob { public: vec![1; 100], private: vec![2; 200] }
}

fn tpm() -> TpmSealed {
    TpmSealed {
        binding: TpmBinding {
            srk: [1; 32],
            ek: [2; 32],
            ak: key_blob(),
            pcrs: vec![PcrValue { index: 7, value: [7; 32] }],
            counter: CounterBinding { index: 0x0180_5600, name: [3; 32] },
        },
        object: key_blob(),
    }
}

fn sim() -> MachineSealed<SimBinding> {
    MachineSealed {
        binding: SimBinding { chip: [1; 32], measurement: [2; 32] },
        salt: [3; 32],
        ciphertext: vec![4; CIPHERTEXT_LEN],
    }
}

#[test]
fn every_kind_comes_back() {
    for body in [SealedBody::Sim(sim()), SealedBody::Tpm(tpm())] {
        assert_eq!(decode(&encode(body.clone()).unwrap()).unwrap().body, body);
    }
}

#[test]
fn another_version_is_refused() {
    let mut bytes = encode(SealedBody::Sim(sim())).unwrap();
    bytes[0] = 2;
    assert_eq!(decode(&bytes), Err(SealedError::Version { found: 2 }));
}

#[test]
fn truncated_or_longer_bytes_are_refused() {
    let bytes = encode(SealedBody::Tpm(tpm())).unwrap();
    for len in 0..bytes.len() {
        assert!(matches!(decode(&bytes[..len]), Err(SealedError::Codec(_))), "{len} bytes");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(decode(&longer), Err(SealedError::Codec(CodecError::NotCanonical)));
}

#[test]
fn impossible_lengths_are_refused() {
    let mut short = sim();
    short.ciphertext.pop();
    assert_eq!(decode(&encode(SealedBody::Sim(short)).unwrap()), Err(SealedError::FieldLength { len: 47 }));

    let mut empty_key = tpm();
    empty_key.object.private.clear();
    assert_eq!(
        decode(&encode(SealedBody::Tpm(empty_key)).unwrap()),
        Err(SealedError::FieldLength { len: 0 })
    );

    let mut no_pcrs = tpm();
    no_pcrs.binding.pcrs.clear();
    assert_eq!(decode(&encode(SealedBody::Tpm(no_pcrs)).unwrap()), Err(SealedError::FieldLength { len: 0 }));

    let mut many_pcrs = tpm();
    many_pcrs.binding.pcrs = vec![PcrValue { index: 1, value: [0; 32] }; 25];
    assert_eq!(
        decode(&encode(SealedBody::Tpm(many_pcrs)).unwrap()),
        Err(SealedError::FieldLength { len: 25 })
    );
}
