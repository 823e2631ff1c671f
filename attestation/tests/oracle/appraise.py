#!/usr/bin/env python3
"""An oracle for the rules on SEV-SNP reports: a second, simple implementation of what a policy means.

Written from AMD 56860 (revision 1.58, tables 3, 4, 10, 23, 24) and from the documentation of the policy, and not from
the verifier's source. It works on raw bytes at offsets, and collects every rule that a report breaks instead of
stopping at the first. Signatures and certificates are none of its business.

Reads JSON, one value per line, and answers each question with one line:
  {"policy": {...}}                 the policy from now on
  {"report": "hex"}                 the base report from now on
  {"set": [[offset, "hex"], ...], "product": "...", "provider": "..." or null, "now": seconds}
Answer: the codes of the first step that is broken, separated by spaces; or "accepted" and the warnings.

Standard library only.
"""

import json
import sys

ONES = (1 << 32) - 1
COMPONENTS = ("fmc", "boot_loader", "tee", "snp", "microcode")
# Offset of each component in a TCB_VERSION (tables 3 and 4).
MILAN_GENOA = {"boot_loader": 0, "tee": 1, "snp": 6, "microcode": 7}
TURIN = {"fmc": 0, "boot_loader": 1, "tee": 2, "snp": 3, "microcode": 7}
TCBS = {"current": 0x38, "reported": 0x180, "committed": 0x1E0, "launch": 0x1F0}

# POLICY (table 10): the code if the bit is not as it should be.
POLICY_BITS = {
    "smt": (16, "snp.policy.bit"),
    "migrate_ma": (18, "snp.policy.migration-agent"),
    "debug": (19, "snp.policy.debug"),
    "single_socket": (20, "snp.policy.bit"),
    "cxl_allowed": (21, "snp.policy.bit"),
    "mem_aes_256_xts": (22, "snp.policy.bit"),
    "rapl_disabled": (23, "snp.policy.bit"),
    "ciphertext_hiding": (24, "snp.policy.bit"),
    "page_swap_disabled": (25, "snp.policy.bit"),
}
# PLATFORM_INFO (table 24).
PLATFORM_BITS = {
    "smt": 0,
    "tsme": 1,
    "ecc": 2,
    "rapl_disabled": 3,
    "ciphertext_hiding": 4,
    "alias_check_complete": 5,
    "iommu_write_safe": 6,
    "tio": 7,
}
P384_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)


def number(report, offset, length):
    return int.from_bytes(report[offset : offset + length], "little")


def exactly(rule):
    """The bytes of a rule {"Exactly": [...]}, or None for the one that takes anything."""
    return bytes(rule["Exactly"]) if isinstance(rule, dict) else None


def bit_broken(rule, is_set):
    return (rule == "Required" and not is_set) or (rule == "Forbidden" and is_set)


def unreadable(report):
    """What makes these bytes no report at all; the first of it."""
    if len(report) != 0x4A0:
        return "snp.report.length"
    if number(report, 0, 4) not in (2, 3, 4, 5):
        return "snp.report.version"
    if number(report, 0x34, 4) != 1:
        return "snp.report.algorithm"
    if (number(report, 0x48, 4) >> 2) % 8 not in (0, 1):
        return "snp.report.signing-key"
    # With MASK_CHIP_KEY the firmware leaves the signature of a VCEK zero (table 23).
    if number(report, 0x48, 4) >> 1 & 1 == 1 and (number(report, 0x48, 4) >> 2) % 8 == 0:
        return "snp.report.masked-key"
    for offset in (0x2A0, 0x2E8):
        if not 0 < number(report, offset, 72) < P384_ORDER:
            return "snp.report.signature-range"
    if any(report[0x330:0x4A0]):
        return "snp.report.signature-reserved"
    return None


def tcb(report, which, product):
    places = TURIN if product == "Turin" else MILAN_GENOA
    raw = report[TCBS[which] : TCBS[which] + 8]
    return {name: raw[places[name]] if name in places else 0 for name in COMPONENTS}


def reserved_is_zero(report, product):
    version = number(report, 0, 4)
    spans = [(0x4C, 0x50), (0x18B, 0x1A0), (0x1EB, 0x1EC), (0x1EF, 0x1F0), (0x208, 0x2A0)]
    if version < 3:
        spans.append((0x188, 0x18B))
    if version < 5:
        spans.append((0x1F8, 0x208))
    used = set((TURIN if product == "Turin" else MILAN_GENOA).values())
    for offset in TCBS.values():
        spans += [(offset + i, offset + i + 1) for i in range(8) if i not in used]
    return (
        not any(any(report[start:end]) for start, end in spans)
        and number(report, 0x48, 4) >> 5 == 0
        and number(report, 0x08, 8) >> 26 == 0
    )


def validity(expiry, now):
    """2: holds, 1: late, 0: over."""
    if expiry == "Never":
        return 2
    end = expiry["At"]["expires_unix_secs"]
    return 2 if now < end else 1 if now < end + expiry["At"]["grace_secs"] else 0


def reaches(report, product, floors):
    return all(
        tcb(report, which, product)[name] >= floors[which][name] for which in TCBS for name in COMPONENTS
    )


def broken_rules(report, policy, product, provider, now):
    """Every rule that is broken, as pairs of step and code; and the warnings."""
    broken, warnings = [], []

    def rule(step, code, holds):
        if not holds:
            broken.append((step, code))

    version, flags = number(report, 0, 4), number(report, 0x48, 4)
    guest, platform, vmpl = number(report, 0x08, 8), number(report, 0x40, 8), number(report, 0x30, 4)
    vlek = (flags >> 2) % 8 == 1

    rule(1, "snp.product", product in policy["products"])

    measured = report[0x90:0xC0]
    states = [validity(m["expiry"], now) for m in policy["measurements"] if bytes(m["value"]) == measured]
    rule(2, "snp.measurement", states != [])
    rule(3, "snp.measurement.expired", states == [] or max(states) > 0)
    if states and max(states) == 1:
        warnings.append("reference-value")

    host_data = exactly(policy["host_data"])
    rule(4, "snp.host-data", host_data is None or host_data == report[0xC0:0xE0])

    family, image = exactly(policy["family_id"]), exactly(policy["image_id"])
    rule(5, "snp.family-id", family is None or family == report[0x10:0x20])
    rule(5, "snp.image-id", image is None or image == report[0x20:0x30])
    rule(5, "snp.guest-svn", number(report, 0x04, 4) >= policy["min_guest_svn"])

    if isinstance(policy["id_block"], dict):
        signed = policy["id_block"]["SignedBy"]
        rule(6, "snp.id-block.id-key", list(report[0xE0:0x110]) in signed["id_keys"])
        if isinstance(signed["author"], dict):
            named = list(report[0x110:0x140]) in signed["author"]["OneOf"]
            rule(6, "snp.id-block.author-key", flags & 1 == 1 and named)

    report_id = exactly(policy["report_id"])
    rule(7, "snp.report-id", report_id is None or report_id == report[0x140:0x160])

    agent = policy["migration_agent"]
    if agent == "NoMigrationAgent":
        rule(8, "snp.report-id-ma", report[0x160:0x180] == b"\xff" * 32)
    elif agent != "AnyMigrationAgent":
        rule(8, "snp.report-id-ma", report[0x160:0x180] == exactly(agent))

    rule(9, "snp.report-version", version >= policy["min_report_version"])
    rule(10, "snp.reserved", policy["reserved_fields"] == "Allowed" or reserved_is_zero(report, product))
    rule(11, "snp.policy.must-be-one", guest >> 17 & 1 == 1)

    abi = (guest >> 8 & 0xFF, guest & 0xFF)
    least = policy["guest_policy"]["min_abi"]
    rule(12, "snp.policy.abi", abi >= (least["major"], least["minor"]))
    for name, (bit, code) in POLICY_BITS.items():
        rule(12, code, not bit_broken(policy["guest_policy"][name], guest >> bit & 1 == 1))

    if vmpl == ONES:
        rule(13, "snp.vmpl.host", False)
    else:
        rule(13, "snp.vmpl", vmpl == policy["vmpl"])

    for name, bit in PLATFORM_BITS.items():
        rule(14, "snp.platform-info", not bit_broken(policy["platform_info"][name], platform >> bit & 1 == 1))
    unknown_allowed = policy["platform_info"]["unknown_bits"] == "Allowed"
    rule(14, "snp.platform-info.unknown", unknown_allowed or platform >> 8 == 0)

    masks = policy["mitigations"]
    if masks["launch"] or masks["current"]:
        rule(15, "snp.mitigations.none", version >= 5)
        if version >= 5:
            for which, offset in (("launch", 0x1F8), ("current", 0x200)):
                rule(15, "snp.mitigations", number(report, offset, 8) & masks[which] == masks[which])

    chip, chip_id = policy["chip"], list(report[0x1A0:0x1E0])
    if isinstance(chip, dict) and "Providers" in chip:
        # Nothing but a VLEK names a provider.
        rule(16, "snp.chip.no-provider", provider is not None)
        rule(16, "snp.chip.provider", provider is None or provider in chip["Providers"])
    elif chip != "AnyChipEvenMasked":
        rule(16, "snp.chip.vlek", not vlek)
        rule(16, "snp.chip.masked", vlek or any(chip_id))
        if isinstance(chip, dict):
            rule(16, "snp.chip.not-listed", vlek or not any(chip_id) or chip_id in chip["Allow"])

    reported, committed, current = (tcb(report, w, product) for w in ("reported", "committed", "current"))
    ordered = all(reported[n] <= committed[n] <= current[n] for n in COMPONENTS)
    rule(17, "snp.tcb.order", ordered)

    same = report[0x38:0x40] == report[0x1E0:0x1E8]
    rule(18, "snp.tcb.provisional", policy["provisional_firmware"] == "Allowed" or same)

    floors = [floor for floor in policy["tcb_floors"] if floor["product"] == product]
    rule(19, "snp.tcb.no-floor", floors != [])
    if floors and not reaches(report, product, floors[0]["floors"]):
        grace = floors[0]["grace"]
        late = (
            isinstance(grace, dict)
            and now < grace["Until"]["until_unix_secs"]
            and reaches(report, product, grace["Until"]["floors"])
        )
        rule(19, "snp.tcb.floor", late)
        if late:
            warnings.append("tcb-floor")
    return broken, warnings


def answer(report, policy, question):
    reason = unreadable(report)
    if reason is not None:
        return reason
    broken, warnings = broken_rules(
        report, policy, question["product"], question["provider"], question["now"]
    )
    if not broken:
        return " ".join(["accepted"] + sorted(warnings))
    first = min(step for step, _ in broken)
    return " ".join(sorted({code for step, code in broken if step == first}))


def main():
    policy, base = None, None
    for line in sys.stdin:
        message = json.loads(line)
        if "policy" in message:
            policy = message["policy"]
        elif "report" in message:
            base = bytes.fromhex(message["report"])
        else:
            report = bytearray(base)
            for offset, value in message["set"]:
                value = bytes.fromhex(value)
                report[offset : offset + len(value)] = value
            print(answer(bytes(report), policy, message))


if __name__ == "__main__":
    main()
