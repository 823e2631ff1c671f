//! What may stand behind the separator of a PCR (PC Client Platform Firmware Profile 1.06, sections 3.3.4 and 8.2.4).

use super::kind::EventKind;

/// Whether the specification, or a boot loader that follows it, puts events of a type behind the separator of one of
/// PCRs 0 to 7. Types are the sender's word, so this keeps nobody from anything; it refuses logs that nobody
/// honest wrote.
pub(super) fn may_follow_separator(pcr: u32, kind: EventKind) -> bool {
    match pcr {
        // Code of the firmware, and the configuration of option ROMs: complete.
        0 | 3 => false,
        // What is found when devices are connected, boot variables, and tables that some firmware measures when it is ready to boot; SMBIOS by systemd.
        1 => matches!(
            kind,
            EventKind::CPU_MICROCODE
                | EventKind::EFI_ACTION
                | EventKind::EFI_HANDOFF_TABLES
                | EventKind::EFI_HANDOFF_TABLES2
                | EventKind::EFI_VARIABLE_BOOT
                | EventKind::EFI_VARIABLE_BOOT2
                | EventKind::EVENT_TAG
                | EventKind::NONHOST_CONFIG
                | EventKind::PLATFORM_CONFIG_FLAGS
                | EventKind::TABLE_OF_DEVICES
        ),
        // Option ROMs and firmware of devices that the boot manager connects late.
        2 => {
            is_image(kind)
                || matches!(
                    kind,
                    EventKind::EFI_SPDM_FIRMWARE_BLOB
                        | EventKind::EFI_SPDM_FIRMWARE_CONFIG
                        | EventKind::EFI_SPDM_DEVICE_POLICY
                        | EventKind::EFI_SPDM_DEVICE_AUTHORITY
                )
        }
        // Boot attempts and what they load.
        4 => {
            is_image(kind)
                || matches!(
                    kind,
                    EventKind::ACTION | EventKind::COMPACT_HASH | EventKind::EFI_ACTION | EventKind::IPL
                )
        }
        // Partition tables, boot loader configuration, the end of boot services.
        5 => matches!(
            kind,
            EventKind::EFI_ACTION
                | EventKind::EFI_GPT_EVENT
                | EventKind::EFI_GPT_EVENT2
                | EventKind::EFI_VARIABLE_BOOT
                | EventKind::EFI_VARIABLE_BOOT2
                | EventKind::EVENT_TAG
                | EventKind::IPL
                | EventKind::IPL_PARTITION_DATA
        ),
        // Which keys vouched for what was started, and changes of the debug mode or of DMA protection.
        7 => matches!(kind, EventKind::EFI_ACTION | EventKind::EFI_VARIABLE_AUTHORITY),
        // The manufacturer's own.
        _ => true,
    }
}

fn is_image(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::EFI_BOOT_SERVICES_APPLICATION
            | EventKind::EFI_BOOT_SERVICES_DRIVER
            | EventKind::EFI_RUNTIME_SERVICES_DRIVER
    )
}
