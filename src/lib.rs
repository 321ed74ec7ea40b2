//! Spindrift.
