internal import Glibc
internal import NatterModel
internal import NatterSystem

/// Chooses the language of the messages.
public enum Language {
    /// The languages of this version's catalogues. English needs none.
    public static let known = ["en", "ru"]

    /// True if a code, such as `ru_RU.UTF-8`, names a known language or one with an installed catalogue.
    public static func isKnown(_ code: String, environment: Environment) -> Bool {
        let directory = directory(environment)
        return forms(of: code).contains {
            known.contains($0) || access("\(directory)/\($0)/LC_MESSAGES/natter.mo", R_OK) == 0
        }
    }

    /// The catalogues to look up, for the languages before the first English one.
    static func choice(
        option: String?, configured: String?, environment: Environment, domain: String
    ) -> Catalogue.Choice {
        let languages = preferred(option: option, configured: configured, environment: environment)
        let wanted = Array(languages.prefix { $0 != "en" && !$0.hasPrefix("en_") })
        return Catalogue.Choice(
            languages: wanted, directory: wanted.isEmpty ? "" : directory(environment), domain: domain)
    }

    /// `NATTER_LOCALEDIR`, else `../share/locale` relative to the program's directory. That path is valid in an
    /// installation and in a build.
    private static func directory(_ environment: Environment) -> String {
        if let directory = environment["NATTER_LOCALEDIR"] { return directory }
        return (ProcessArguments.programPath.map { Path.directory(of: $0) } ?? "") + "/../share/locale"
    }

    /// The languages that the user prefers, in order, each followed by its plain form: `["pt_BR", "pt"]`. The result is
    /// empty for English.
    ///
    /// `LANGUAGE` counts unless the locale is exactly `C` or `POSIX`. It counts with `C.UTF-8`, because containers set
    /// that only for its encoding.
    ///
    /// - Parameters:
    ///   - option: the value of `--lang`.
    ///   - configured: the setting `lang`.
    public static func preferred(option: String?, configured: String?, environment: Environment) -> [String] {
        if let wanted = option ?? configured { return forms(of: wanted) }
        let locale = environment["LC_ALL"] ?? environment["LC_MESSAGES"] ?? environment["LANG"]
        if locale == "C" || locale == "POSIX" { return [] }
        guard let list = environment["LANGUAGE"] else { return forms(of: locale ?? "") }
        var languages: [String] = []
        for entry in list.split(separator: ":") {
            for form in forms(of: String(entry)) where !languages.contains(form) { languages.append(form) }
        }
        return languages
    }

    /// `de_AT.UTF-8@euro` is `de_AT`, else `de`.
    private static func forms(of locale: String) -> [String] {
        // Bytes, because each command that prints a phrase asks, and characters would cost it a tenth of its work.
        let whole = locale.utf8.prefix { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "@") }
            .map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }
        let plain = whole.prefix { $0 != UInt8(ascii: "_") }
        let language = String(decoding: plain, as: UTF8.self)
        if language.isEmpty || language == "C" || language == "POSIX" { return [] }
        return plain.count == whole.count ? [language] : [String(decoding: whole, as: UTF8.self), language]
    }
}
