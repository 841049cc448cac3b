internal import NatterModel

/// Which letters a search for a substring treats as the same.
enum LetterFolding {
    /// A regular expression that matches a string while ignoring the accents of Latin letters in both string and text.
    ///
    /// Use it with caseless matching: it contains lower-case letters only.
    static func pattern(for text: String) -> String {
        var pattern = ""
        var isAfterLatin = false
        for scalar in text.unicodeScalars {
            if isMark(scalar), isAfterLatin { continue }
            isAfterLatin = false
            if let base = latinBase(of: scalar) {
                pattern += "[\(base)\(variants[base] ?? "")]\(marks)*+"
                isAfterLatin = true
            } else if "еёЕЁ".unicodeScalars.contains(scalar) {
                pattern += "[её]"
            } else {
                // Escape ASCII characters except digits: a digit has no meaning of its own, but '\1' has.
                if scalar.isASCII, !("0"..."9").contains(scalar) { pattern += "\\" }
                pattern.unicodeScalars.append(scalar)
            }
        }
        return pattern
    }

    private static let marks = "[\\x{300}-\\x{36f}]"

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool { (0x300...0x36F).contains(scalar.value) }

    /// The letter a to z under the accents of a letter.
    private static func latinBase(of scalar: Unicode.Scalar) -> Unicode.Scalar? {
        guard scalar.value < 0x1F00, let base = Normalization.formD(scalar).first?.properties.lowercaseMapping else {
            return nil
        }
        return base.unicodeScalars.first.flatMap { ("a"..."z").contains($0) ? $0 : nil }
    }

    /// The small letters that Unicode decomposes into a letter and marks, by that letter, and İ, which has no partner of one letter
    /// in its other case.
    private static let variants: [Unicode.Scalar: String] = {
        let blocks: [ClosedRange<UInt32>] = [0xC0...0x24F, 0x1E00...0x1EFF]
        return blocks.joined().compactMap(Unicode.Scalar.init).reduce(into: [:]) { variants, scalar in
            guard !scalar.properties.changesWhenLowercased || scalar == "İ", let base = latinBase(of: scalar) else {
                return
            }
            variants[base, default: ""].unicodeScalars.append(scalar)
        }
    }()
}
