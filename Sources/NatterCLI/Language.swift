/// Which language to speak.
public enum Language {
    /// The languages that a person asks for, most wanted first, each in front of its plain form: `["pt_BR", "pt"]`.
    /// Empty for English as it stands in the source.
    ///
    /// `LANGUAGE` counts wherever the locale is not plainly `C`, so with `C.UTF-8` too, which containers set only for
    /// the sake of UTF-8.
    ///
    /// - Parameters:
    ///   - option: of `--lang`.
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
        let whole = locale.prefix { $0 != "." && $0 != "@" }.map { $0 == "-" ? "_" : $0 }
        let plain = whole.prefix { $0 != "_" }
        if plain.isEmpty || String(plain) == "C" || String(plain) == "POSIX" { return [] }
        return plain.count == whole.count ? [String(plain)] : [String(whole), String(plain)]
    }
}
