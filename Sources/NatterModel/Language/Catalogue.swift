internal import CGettext
internal import Glibc
internal import Synchronization

/// The translations of one language, read by glibc's gettext.
///
/// The locale is `C.UTF-8`, which every system has, and `LANGUAGE` selects the catalogue. So a translation needs no
/// generated locale.
public struct Catalogue: Sendable {
    /// The catalogue to use.
    public struct Choice: Sendable {
        /// The preferred languages, best first, such as `["pt_BR", "pt"]`. It is empty for English.
        public let languages: [String]
        /// The directory of the catalogues.
        public let directory: String
        /// The base name of the files, such as `natter` for `DIR/ru/LC_MESSAGES/natter.mo`.
        public let domain: String

        public init(languages: [String], directory: String, domain: String) {
            (self.languages, self.directory, self.domain) = (languages, directory, domain)
        }
    }

    private enum State: Sendable {
        case undecided(@Sendable () -> Choice)
        case decided(Catalogue?)
    }

    private static let state = Mutex(State.decided(nil))

    /// Sets how to choose the language. The closure runs once, when the first phrase is shown, so a command that shows
    /// none saves the time.
    public static func choose(_ choice: @escaping @Sendable () -> Choice) {
        state.withLock { $0 = .undecided(choice) }
    }

    /// The current catalogue, or nil for English.
    static var current: Catalogue? {
        state.withLock { state in
            switch state {
            case .decided(let catalogue): return catalogue
            case .undecided(let choice):
                let catalogue = Catalogue(choice())
                state = .decided(catalogue)
                return catalogue
            }
        }
    }

    private let languages: String
    private let domain: String

    private init?(_ choice: Choice) {
        guard !choice.languages.isEmpty, Self.setLocale() else { return nil }
        languages = choice.languages.joined(separator: ":")
        domain = choice.domain
        bindtextdomain(domain, choice.directory)
        bind_textdomain_codeset(domain, "UTF-8")
    }

    /// Sets any locale except `C`, because gettext ignores `LANGUAGE` in `C`.
    private static func setLocale() -> Bool {
        for name in ["C.UTF-8", "C.utf8", "", "en_US.UTF-8"] {
            guard let given = setlocale(LC_MESSAGES, name) else { continue }
            if !["C", "POSIX"].contains(String(cString: given)) { return true }
        }
        return false
    }

    /// - Returns: nil if the catalogue has no translation.
    func translation(of key: String) -> String? {
        key.withCString { key in asking { found(dgettext(domain, key), key) } }
    }

    /// - Returns: nil if the catalogue has no translation.
    func translation(of key: String, _ other: String, count: UInt) -> String? {
        key.withCString { key in
            other.withCString { other in
                asking {
                    let words = dngettext(domain, key, other, count)
                    return words == UnsafeMutablePointer(mutating: other) ? nil : found(words, key)
                }
            }
        }
    }

    private func found(_ words: UnsafeMutablePointer<CChar>?, _ key: UnsafePointer<CChar>) -> String? {
        guard let words, words != UnsafeMutablePointer(mutating: key) else { return nil }
        return String(cString: words)
    }

    /// Sets `LANGUAGE` only while gettext reads it, because the commands that natter starts inherit the environment.
    private func asking(_ body: () -> String?) -> String? {
        Self.asking.withLock { _ in
            let former = getenv("LANGUAGE").map { String(cString: $0) }
            if former == languages { return body() }
            setenv("LANGUAGE", languages, 1)
            defer { if let former { setenv("LANGUAGE", former, 1) } else { unsetenv("LANGUAGE") } }
            return body()
        }
    }

    /// Locked while `LANGUAGE` is changed, because the environment belongs to the whole process.
    private static let asking = Mutex(())
}
