//! The UHPPOTE connector against a simulator that shares no code with it, and against PyPI `uhppoted`.

mod behaviour;
mod building;
mod flaws;
mod oracle;
