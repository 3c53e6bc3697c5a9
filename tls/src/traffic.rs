//! Records of an established TLS 1.3 session: opened where they lie, and sealed, by the ciphers of
//! its provider (RFC 8446, section 5).
//!
//! rustls makes the handshake, and then gives its keys to whoever protects the records himself
//! ([`rustls::kernel`]). Its own way of a record, through states, queues and copies, takes twice as
//! many instructions as the ciphers do.
//!
//! Never: derives a key, or draws one; rustls does. Waits for the rest of a record.
//!
//! Invariants:
//! 1. Under one key no two records are sealed with the same sequence number: each counts it up, and
//!    it begins anew with a new key only. One key seals no more records than its cipher allows.
//! 2. Keys of the peer change between two records only, behind a KeyUpdate that ends its record.
//! 3. A KeyUpdate of ours that is queued leaves before anything sealed behind it.

mod control;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, CommonState, ConnectionTrafficSecrets, ContentType, ExtractedSecrets,
    ProtocolVersion, Tls13CipherSuite,
};

use zeroize::Zeroize;

use self::control::{Control, Refusal};
use crate::copy::append;
use crate::record::{RECORD_HEADER, check_header, record_len};
use crate::walk::Out;

/// Records sealed with one key at most, whatever the cipher allows: counting never ends.
const SEALED_MAX: u64 = 1 << 60;

/// What rustls keeps of a connection whose records are no longer its business.
enum Keys {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

/// The record protection of one session, both ways.
pub(crate) struct Traffic {
    opener: Box<dyn MessageDecrypter>,
    /// Records opened with this key.
    opened: u64,
    sealer: Box<dyn MessageEncrypter>,
    /// Records sealed with this key.
    sealed: u64,
    keys: Keys,
    suite: &'static Tls13CipherSuite,
    /// The most that one record of ours carries, in bytes.
    payload_max: usize,
    control: Control,
    /// A KeyUpdate, sealed with the key before it.
    queued: Vec<u8>,
    /// close_notify has been said: nothing follows it (RFC 8446, section 6.1).
    ended: bool,
}

/// What one record held.
pub(crate) enum Opened<'a> {
    Data(&'a [u8]),
    /// What concerns the two ends of TLS alone.
    Control,
    /// close_notify.
    End,
}

/// The cipher suite of a connection that can be taken over: TLS 1.3, its handshake done, nothing
/// owed, and ciphers that give their keys away. None that is FIPS-validated: its module shall count
/// its records itself.
pub(crate) fn suite_to_take_over(common: &CommonState) -> Option<&'static Tls13CipherSuite> {
    let suite = common.negotiated_cipher_suite().and_then(|suite| suite.tls13())?;
    let ready = !common.is_handshaking() && !common.wants_write() && !suite.fips();
    let gives = || suite.aead_alg.extract_keys(AeadKey::from([0; 32]), Iv::from([0; 12])).is_ok();
    (ready && gives()).then_some(suite)
}

impl Traffic {
    pub(crate) fn of_server(
        connection: UnbufferedServerConnection,
        suite: &'static Tls13CipherSuite,
        payload_max: usize,
    ) -> Result<Self, rustls::Error> {
        let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
        Self::new(secrets, Keys::Server(keys), suite, payload_max)
    }

    pub(crate) fn of_client(
        connection: UnbufferedClientConnection,
        suite: &'static Tls13CipherSuite,
        payload_max: usize,
    ) -> Result<Self, rustls::Error> {
        let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
        Self::new(secrets, Keys::Client(keys), suite, payload_max)
    }

    fn new(
        secrets: ExtractedSecrets,
        keys: Keys,
        suite: &'static Tls13CipherSuite,
        payload_max: usize,
    ) -> Result<Self, rustls::Error> {
        let (opened, theirs) = secrets.rx;
        let (sealed, ours) = secrets.tx;
        let mut sealer = sealer(suite, ours)?;
        if sealed > 0 {
            count_from_zero(&mut *sealer)?;
        }
        Ok(Self {
            opener: opener(suite, theirs)?,
            opened,
            sealer,
            sealed,
            keys,
            suite,
            payload_max,
            control: Control::default(),
            queued: Vec::new(),
            ended: false,
        })
    }

    /// Opens the records of `input` that are all there; gives how many bytes they were.
    ///
    /// After an error the alert for it is in `out.wire`.
    pub(crate) fn walk(
        &mut self,
        input: &mut [u8],
        out: &mut Out<'_>,
    ) -> Result<usize, rustls::Error> {
        let mut taken = 0;
        while let Some(len) = self.whole(&input[taken..], out.wire)? {
            let record = &mut input[taken..taken + len];
            taken += len;
            match self.open(record, out.wire)? {
                Opened::Data(data) => append(out.plain, data),
                Opened::Control => {}
                Opened::End => {
                    *out.peer_closed = true;
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// The length of the record that begins `input`, if it is all there.
    ///
    /// After an error the alert for it is in `wire`.
    #[inline]
    pub(crate) fn whole(
        &mut self,
        input: &[u8],
        wire: &mut Vec<u8>,
    ) -> Result<Option<usize>, rustls::Error> {
        let Some(len) = record_len(input) else { return Ok(None) };
        if let Err(error) = check_header(input, len) {
            return Err(self.refuse(error.into(), wire));
        }
        Ok((len <= input.len()).then_some(len))
    }

    /// Opens one record, header and all.
    ///
    /// After an error the alert for it is in `wire`.
    #[inline]
    pub(crate) fn open<'a>(
        &mut self,
        record: &'a mut [u8],
        wire: &mut Vec<u8>,
    ) -> Result<Opened<'a>, rustls::Error> {
        let (data, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
        let message = InboundOpaqueMessage::new(data, version, &mut record[RECORD_HEADER..]);
        let refusal = match self.opener.decrypt(message, self.opened) {
            Ok(plain) => {
                self.opened += 1;
                if plain.typ == data && self.control.takes_data(plain.payload) {
                    return Ok(Opened::Data(plain.payload));
                }
                match self.take_control(plain.typ, plain.payload) {
                    Ok(opened) => return Ok(opened),
                    Err(refusal) => refusal,
                }
            }
            Err(error) => error.into(),
        };
        Err(self.refuse(refusal, wire))
    }

    /// Tells the peer why, as far as TLS has an alert for it.
    #[cold]
    fn refuse(&mut self, refusal: Refusal, wire: &mut Vec<u8>) -> rustls::Error {
        if let (Some(alert), false) = (refusal.alert, self.ended) {
            // Without the alert the error is still the error.
            let _unsaid = self.put(ContentType::Alert, &[2, alert.into()], wire);
        }
        refusal.error
    }

    /// Seals `plain` into as few records as may be, appended to `wire`.
    pub(crate) fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), rustls::Error> {
        let allowed = self.suite.common.confidentiality_limit.min(SEALED_MAX);
        for piece in plain.chunks(self.payload_max) {
            // The KeyUpdate is the last record of the old key.
            if self.sealed + 1 >= allowed && self.sealed > 0 {
                self.renew(true)?;
            }
            self.put(ContentType::ApplicationData, piece, wire)?;
        }
        Ok(())
    }

    pub(crate) fn say_close_notify(&mut self, wire: &mut Vec<u8>) -> Result<(), rustls::Error> {
        self.ended = true;
        self.put(ContentType::Alert, &[1, AlertDescription::CloseNotify.into()], wire)
    }

    pub(crate) fn is_server(&self) -> bool {
        matches!(self.keys, Keys::Server(_))
    }

    /// Bytes of memory held for messages whose rest is to come.
    pub(crate) fn buffered(&self) -> usize {
        self.control.buffered()
    }

    pub(crate) fn forget_input(&mut self) {
        self.control = Control::default();
    }

    #[inline]
    fn put(
        &mut self,
        kind: ContentType,
        payload: &[u8],
        wire: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        if !self.queued.is_empty() {
            wire.extend(std::mem::take(&mut self.queued));
        }
        append(wire, &self.sealed(kind, payload)?);
        Ok(())
    }

    /// One record, sealed.
    #[inline]
    fn sealed(&mut self, kind: ContentType, payload: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let version = ProtocolVersion::TLSv1_2;
        let plain = OutboundPlainMessage { typ: kind, version, payload: payload.into() };
        let seq = self.sealed;
        // Before anything can fail: a number is never used again.
        self.sealed += 1;
        Ok(self.sealer.encrypt(plain, seq)?.encode())
    }

    /// Our next key; the KeyUpdate that announces it is queued.
    #[cold]
    fn renew(&mut self, request: bool) -> Result<(), rustls::Error> {
        let update = self.sealed(ContentType::Handshake, &control::key_update(request))?;
        self.queued.extend(update);
        let (seq, secrets) = match &mut self.keys {
            Keys::Server(keys) => keys.update_tx_secret(),
            Keys::Client(keys) => keys.update_tx_secret(),
        }?;
        (self.sealer, self.sealed) = (sealer(self.suite, secrets)?, seq);
        Ok(())
    }

    /// The peer's next key.
    fn follow(&mut self) -> Result<(), rustls::Error> {
        let (seq, secrets) = match &mut self.keys {
            Keys::Server(keys) => keys.update_rx_secret(),
            Keys::Client(keys) => keys.update_rx_secret(),
        }?;
        (self.opener, self.opened) = (opener(self.suite, secrets)?, seq);
        Ok(())
    }
}

fn opener(
    suite: &Tls13CipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, rustls::Error> {
    key_and_iv(secrets).map(|(key, iv)| suite.aead_alg.decrypter(key, iv))
}

fn sealer(
    suite: &Tls13CipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageEncrypter>, rustls::Error> {
    key_and_iv(secrets).map(|(key, iv)| suite.aead_alg.encrypter(key, iv))
}

/// AWS-LC takes the first number that it sees for that of the first record under its key, and
/// refuses later ones that do not follow from it. So it is shown the true first one; what it seals
/// with that is wiped out here, seen by nobody, so the number is as good as unused.
fn count_from_zero(sealer: &mut dyn MessageEncrypter) -> Result<(), rustls::Error> {
    let (typ, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
    let nothing = OutboundPlainMessage { typ, version, payload: [][..].into() };
    sealer.encrypt(nothing, 0)?.encode().zeroize();
    Ok(())
}

fn key_and_iv(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), rustls::Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(rustls::Error::General("keys of a cipher unknown here".into())),
    }
}
