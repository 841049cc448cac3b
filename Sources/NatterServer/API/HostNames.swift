internal import NatterModel
internal import NatterTLS

/// The host names that the server answers for.
///
/// A web page of another site can make a browser send requests to this machine, if the site's name leads to its address
/// for a moment (DNS rebinding). The browser then sends the site's name as `Host`, so such requests are refused. An IP
/// address can't be rebound, so every address is admitted.
struct HostNames: Sendable {
    /// Given by the operator.
    var given: [SubjectName]
    /// Of the certificate.
    var certified: [SubjectName]

    /// - Parameter header: the value of `Host`; nil if an HTTP/1.0 client sent none.
    func admit(_ header: String?) -> Bool {
        guard let header, !header.isEmpty else { return true }
        let host = HostNames.host(header)
        if PeerAddress(host) != nil || host.utf8.elementsEqual("localhost".utf8) { return true }
        return given.contains { $0.covers(host) } || certified.contains { $0.covers(host) }
    }

    /// The host of a header: without port, brackets and the dot of the root, in lower case.
    static func host(_ header: String) -> String {
        var host = Array(header.utf8)[...]
        if host.first == UInt8(ascii: "["), let end = host.firstIndex(of: UInt8(ascii: "]")) {
            host = host[..<end].dropFirst()
        } else {
            host = host.prefix { $0 != UInt8(ascii: ":") }
            if host.last == UInt8(ascii: ".") { host = host.dropLast() }
        }
        return String(decoding: host.map { $0.asciiLowercased }, as: UTF8.self)
    }
}
