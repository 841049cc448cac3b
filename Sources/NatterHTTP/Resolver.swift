internal import Glibc
internal import NatterModel
internal import NatterSystem

/// Finds the numeric addresses of a host, in the order in which to try them.
enum Resolver {
    /// The most addresses of one name that are tried.
    private static let limit = 8

    /// Asks the system's resolver, except for numeric addresses and `localhost`. Both work without it, and a server
    /// on only one of the two addresses of `localhost` is still found.
    static func addresses(of host: String) throws(TransportError) -> [String] {
        if NumericAddress.canonical(host) != nil { return [host] }
        if host == "localhost" { return ["127.0.0.1", "::1"] }

        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else { throw .notReached("cannot find '\(host)': \(reason(code))") }
        defer { freeaddrinfo(list) }

        var found: [String] = []
        var next = list
        while let entry = next, found.count < limit {
            next = entry.pointee.ai_next
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let named = getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            guard named == 0 else { continue }
            let address = String(upToNUL: text)
            if !found.contains(address) { found.append(address) }
        }
        guard !found.isEmpty else { throw .notReached("cannot find '\(host)': it has no address") }
        return found
    }

    private static func reason(_ code: Int32) -> Phrase {
        switch code {
        case EAI_NONAME: "no host of that name is known"
        case EAI_AGAIN: "the name servers do not answer"
        case EAI_SYSTEM: Errno.current.phrase
        default: gai_strerror(code).map { Phrase(key: String(cString: $0).lowercased()) } ?? "error \(code)"
        }
    }
}
