public import NatterModel

/// The format of a `Date` header (RFC 9110, 5.6.7).
enum HTTPDate {
    /// Parses `Sun, 06 Nov 1994 08:49:37 GMT`. Returns nil for anything else, including obsolete forms.
    static func parse(_ text: String) -> Timestamp? {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 6, words[5] == "GMT", words[1].utf8.count == 2, words[3].utf8.count == 4,
            let month = CivilTime.monthNames.firstIndex(of: String(words[2]))
        else { return nil }
        let number = month < 9 ? "0\(month + 1)" : "\(month + 1)"
        return Timestamp(rfc3339: "\(words[3])-\(number)-\(words[1])T\(words[4])Z")
    }
}

extension HTTPResponse {
    /// When the server made this answer, by its clock, to the second; nil if it does not say.
    public var date: Timestamp? { header("Date").flatMap(HTTPDate.parse) }
}
