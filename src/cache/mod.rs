//! The HTTP cache (RFC 9111): decisions as pure functions, and the store on Redis.
//!
//! The life of a stored response: a request makes a [`key::ResourceKey`]; [`store::Store::lookup`] finds what is
//! stored; [`reuse::evaluate`] says what may be done with it; [`store::Store::begin`] gives the right to
//! store what is fetched, a [`lease::FillLease`], and the lead to one of all who ask at once; the origin's response is
//! judged by [`storable::judge`], written by [`fill::Fill`], refreshed by [`entry::Entry::freshen`] and dropped as
//! [`invalidate`] says. A response of which only parts came is a [`partial::Partial`]; what a range request gets is
//! decided in [`range`] and read by [`slice`](mod@slice).

pub mod compress;
pub mod entry;
pub mod fill;
pub mod freshness;
pub mod invalidate;
pub mod key;
pub mod lease;
pub mod lookup;
pub mod partial;
pub mod pieces;
pub mod range;
pub mod replace;
pub mod respond;
pub mod reuse;
pub mod selecting;
pub mod slice;
pub mod storable;
pub mod store;
pub mod tags;
pub mod variance;
