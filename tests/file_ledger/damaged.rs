//! A damaged record concerns its tenant, a damaged file all of them. Neither is ever taken for an empty one.
