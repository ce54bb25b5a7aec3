//! Part of Fingerpost.
