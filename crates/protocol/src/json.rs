//! Writing JSON straight into bytes: ordered, without an intermediate tree, raw values copied as they are.

use serde::Serialize;
use serde_json::value::RawValue;

/// An object being written.
pub(crate) struct Object<'w> {
    out: &'w mut Vec<u8>,
    first: bool,
}

/// An array being written.
pub(crate) struct Array<'w> {
    out: &'w mut Vec<u8>,
    first: bool,
}

/// Writes one object.
pub(crate) fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    write(&mut Object { out, first: true });
    out.push(b'}');
}

fn value(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let from = out.len();
    // Plain values into memory cannot fail; were one to, the document must stay well formed.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(from);
        out.extend_from_slice(b"null");
    }
}

/// A raw value out of a JSON text; `null` where it is none.
pub(crate) fn raw_or_null(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

// === impl Object ===

impl Object<'_> {
    fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        value(self.out, key);
        self.out.push(b':');
    }

    /// A plain value.
    pub(crate) fn field(&mut self, key: &str, field: impl Serialize) {
        self.key(key);
        value(self.out, &field);
    }

    /// A plain value, left out where `None`.
    pub(crate) fn some(&mut self, key: &str, field: Option<impl Serialize>) {
        if let Some(field) = field {
            self.field(key, field);
        }
    }

    /// A value that is written already.
    pub(crate) fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }

    /// `null`.
    pub(crate) fn null(&mut self, key: &str) {
        self.raw(key, b"null");
    }

    /// An object.
    pub(crate) fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        object(self.out, write);
    }

    /// An array.
    pub(crate) fn array(&mut self, key: &str, write: impl FnOnce(&mut Array<'_>)) {
        self.key(key);
        self.out.push(b'[');
        write(&mut Array {
            out: self.out,
            first: true,
        });
        self.out.push(b']');
    }

    /// Members of another object, as they are.
    pub(crate) fn members<'a, K: AsRef<str> + 'a>(
        &mut self,
        members: impl IntoIterator<Item = &'a (K, &'a RawValue)>,
    ) {
        for (key, raw) in members {
            self.raw(key.as_ref(), raw.get().as_bytes());
        }
    }
}

// === impl Array ===

impl Array<'_> {
    fn next(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    /// A plain value.
    pub(crate) fn item(&mut self, item: impl Serialize) {
        self.next();
        value(self.out, &item);
    }

    /// A value that is written already.
    pub(crate) fn raw(&mut self, json: &[u8]) {
        self.next();
        self.out.extend_from_slice(json);
    }

    /// An object.
    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        self.next();
        object(self.out, write);
    }

    /// Whether nothing has been written yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first
    }
}
