public import NatterLanguage
internal import NatterSystem

/// Why there can be no listener.
public enum ListenerError: Error, Equatable, PhraseConvertible {
    case notAnAddress(String)
    case cannotListen(address: String, port: UInt16, code: Int32)
    case cannotStart

    public var phrase: Phrase {
        switch self {
        case .notAnAddress(let text):
            "'\(text)' is not an address; write an IPv4 or IPv6 address in numbers, or 'localhost'"
        case .cannotListen(let address, let port, let code):
            "cannot listen on '\(address)' port \(port): \(DiskError.text(of: code))"
        case .cannotStart:
            "cannot start the HTTP server; the limit of open files or the memory may be too small"
        }
    }
}
