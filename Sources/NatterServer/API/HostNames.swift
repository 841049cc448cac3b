internal import NatterModel

/// The host names that the server answers for.
///
/// A web page of another site can make a browser send requests to this machine, if the site's name leads to its address
/// for a moment (DNS rebinding). The browser then sends the site's name as `Host`, so such requests are refused. An IP
/// address can't be rebound, so every address is admitted.
struct HostNames: Sendable {
    /// Names given by the operator.
    var given: [SubjectName]
    /// Names of the certificate.
    var certified: [SubjectName]

    func admit(_ host: RequestedHost) -> Bool {
        host.isOfEveryServer || given.contains { $0.covers(host.name) } || certified.contains { $0.covers(host.name) }
    }
}

/// The host that a request names.
struct RequestedHost: Sendable {
    /// Without port, brackets and the dot of the root, in lower case.
    let name: String
    /// Whether it is an address, `localhost`, or none.
    let isOfEveryServer: Bool

    /// - Parameter header: the value of `Host`; nil if an HTTP/1.0 client sent none.
    init(_ header: String?) {
        name = RequestedHost.name(header ?? "")
        isOfEveryServer =
            (header ?? "").isEmpty || PeerAddress(name) != nil || name.utf8.elementsEqual("localhost".utf8)
    }

    private static func name(_ header: String) -> String {
        let whole = Array(header.utf8)[...]
        var (host, port) = (whole, whole)
        if whole.first == UInt8(ascii: "["), let end = whole.firstIndex(of: UInt8(ascii: "]")) {
            (host, port) = (whole[..<end].dropFirst(), whole[end...].dropFirst())
        } else {
            host = whole.prefix { $0 != UInt8(ascii: ":") }
            port = whole[host.endIndex...]
            if host.last == UInt8(ascii: ".") { host = host.dropLast() }
        }
        // Anything else behind a name is not part of it, so nobody is called so.
        if !port.isEmpty, port.first != UInt8(ascii: ":") || !port.dropFirst().areASCIIDigits { host = whole }
        return String(decoding: host.map { $0.asciiLowercased }, as: UTF8.self)
    }
}
