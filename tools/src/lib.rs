//! The vouchsafe command line
