internal import CGnuTLS
internal import Glibc

/// The TLS session of one connection, which libmicrohttpd creates, drives and ends. Not thread-safe.
///
/// This class gives the session the current certificate, while the library has one certificate for the life of the
/// listener. It also reports when the handshake must wait for the client, because libmicrohttpd 0.9.75 would retry in a
/// busy loop until more bytes arrive.
public final class TLSSession {
    private let handle: OpaquePointer
    private let descriptor: Int32
    /// The library does not retain it.
    private let identity: TLSIdentity
    private let handshakeMustWait: () -> Void
    /// True after the client has completed its part of the handshake.
    public private(set) var isEstablished = false

    /// - Parameters:
    ///   - handle: a session that has not received any byte yet. It must not be used after this object is deallocated.
    ///   - handshakeMustWait: called during the handshake, each time it needs more bytes from the client.
    public init(
        _ handle: OpaquePointer, descriptor: Int32, identity: TLSIdentity, handshakeMustWait: @escaping () -> Void
    ) {
        (self.handle, self.descriptor, self.identity) = (handle, descriptor, identity)
        self.handshakeMustWait = handshakeMustWait
        gnutls_credentials_set(handle, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(identity.credentials))
        gnutls_transport_set_ptr2(
            handle, Unmanaged.passUnretained(self).toOpaque(), UnsafeMutableRawPointer(bitPattern: Int(descriptor)))
        gnutls_transport_set_pull_function(handle) { context, buffer, count in
            context.map { session($0).pull(buffer, count) } ?? -1
        }
        gnutls_transport_set_pull_timeout_function(handle) { context, milliseconds in
            context.map { session($0).waitForBytes(milliseconds) } ?? -1
        }
        gnutls_handshake_set_hook_function(
            handle, GNUTLS_HANDSHAKE_FINISHED.rawValue, Int32(GNUTLS_HOOK_POST)
        ) { handle, _, _, isIncoming, _ in
            if isIncoming != 0, let context = gnutls_transport_get_ptr(handle) { session(context).isEstablished = true }
            return 0
        }
    }

    /// The number of bytes that are received and decrypted, but not read yet.
    public var pendingBytes: Int { gnutls_record_check_pending(handle) }

    /// Sends as many bytes as the socket accepts without waiting.
    public func send(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let piece = UnsafeRawBufferPointer(rebasing: rest)
                let count = gnutls_record_send(handle, piece.baseAddress, piece.count)
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// Tells the client that no more data will follow.
    public func finishSending() { gnutls_bye(handle, GNUTLS_SHUT_WR) }

    /// Reads from the socket for the library.
    private func pull(_ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        let received = recv(descriptor, buffer, count, 0)
        guard received < 0 else { return received }
        let code = errno
        if code == EAGAIN, !isEstablished { handshakeMustWait() }
        gnutls_transport_set_errno(handle, code)
        return received
    }

    private func waitForBytes(_ milliseconds: UInt32) -> Int32 {
        var place = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        // GNUTLS_INDEFINITE_TIMEOUT is all ones.
        return poll(&place, 1, milliseconds == .max ? -1 : Int32(clamping: milliseconds))
    }
}

/// A free function, because a C callback may capture nothing.
private func session(_ context: UnsafeMutableRawPointer) -> TLSSession {
    Unmanaged<TLSSession>.fromOpaque(context).takeUnretainedValue()
}
