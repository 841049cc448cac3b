/// Finds out what sentence a piece of English was made of, so that what another program has said can be translated.
extension Phrase {
    /// - Parameter templates: the sentences that it may be, as keys of the catalogue: with `%s` where values stand.
    /// - Returns: a phrase that is the same text in English. Of several templates that fit, the one with the most fixed
    ///   words; where none does, all of it is one value.
    public init(recognizing text: String, among templates: [String]) {
        self.init(recognizing: text, among: templates, depth: 2)
    }

    private init(recognizing text: String, among templates: [String], depth: Int) {
        var best: (template: String, values: [Substring], fixedBytes: Int)?
        for template in templates {
            guard let values = Self.values(of: text, in: template) else { continue }
            let fixedBytes = text.utf8.count - values.reduce(0) { $0 + $1.utf8.count }
            if fixedBytes > best?.fixedBytes ?? 0 { best = (template, values, fixedBytes) }
        }
        guard let best else {
            self.init(verbatim: text)
            return
        }
        // A value may be a sentence itself; a word is a name.
        let values = best.values.map { value -> Value in
            guard depth > 0, value.contains(" ") else { return .string(String(value)) }
            return .phrase(Phrase(recognizing: String(value), among: templates, depth: depth - 1))
        }
        self.init(template: best.template, values: values)
    }

    /// - Returns: what stands in the places of a template; nil if the text is not of it.
    private static func values(of text: String, in template: String) -> [Substring]? {
        let pieces = template.split(separator: "%s", omittingEmptySubsequences: false)
        guard let first = pieces.first, let last = pieces.last, text.hasPrefix(first) else { return nil }
        guard pieces.count > 1 else { return text == template ? [] : nil }
        var rest = text.dropFirst(first.count)
        var values: [Substring] = []
        for piece in pieces.dropFirst().dropLast() {
            guard let place = rest.firstRange(of: piece), !piece.isEmpty else { return nil }
            values.append(rest[..<place.lowerBound])
            rest = rest[place.upperBound...]
        }
        guard rest.hasSuffix(last) else { return nil }
        return values + [rest.dropLast(last.count)]
    }
}
