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
                pattern += "[\(base)\(variants(of: base))]\(marks)*+"
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
        if ("a"..."z").contains(scalar) { return scalar }
        if ("A"..."Z").contains(scalar) { return Unicode.Scalar(scalar.value | 0x20) }
        guard scalar.value >= 0xC0, scalar.value < 0x1F00,
            let small = scalar.properties.lowercaseMapping.unicodeScalars.first
        else { return nil }
        // İ becomes i and a mark.
        if ("a"..."z").contains(small) { return small }
        for value in UInt8(ascii: "a")...UInt8(ascii: "z") {
            let base = Unicode.Scalar(value)
            if variants(of: base).unicodeScalars.contains(small) { return base }
        }
        return nil
    }

    /// The letters that Unicode decomposes into this letter and marks.
    private static func variants(of base: Unicode.Scalar) -> String {
        switch base {
        case "a": "àáâãäåāăąǎǟǡǻȁȃȧḁạảấầẩẫậắằẳẵặ"
        case "b": "ḃḅḇ"
        case "c": "çćĉċčḉ"
        case "d": "ďḋḍḏḑḓ"
        case "e": "èéêëēĕėęěȅȇȩḕḗḙḛḝẹẻẽếềểễệ"
        case "f": "ḟ"
        case "g": "ĝğġģǧǵḡ"
        case "h": "ĥȟḣḥḧḩḫẖ"
        // İ has no partner of one letter in its other case.
        case "i": "ìíîïĩīĭįİǐȉȋḭḯỉị"
        case "j": "ĵǰ"
        case "k": "ķǩḱḳḵ"
        case "l": "ĺļľḷḹḻḽ"
        case "m": "ḿṁṃ"
        case "n": "ñńņňǹṅṇṉṋ"
        case "o": "òóôõöōŏőơǒǫǭȍȏȫȭȯȱṍṏṑṓọỏốồổỗộớờởỡợ"
        case "p": "ṕṗ"
        case "r": "ŕŗřȑȓṙṛṝṟ"
        case "s": "śŝşšșṡṣṥṧṩ"
        case "t": "ţťțṫṭṯṱẗ"
        case "u": "ùúûüũūŭůűųưǔǖǘǚǜȕȗṳṵṷṹṻụủứừửữự"
        case "v": "ṽṿ"
        case "w": "ŵẁẃẅẇẉẘ"
        case "x": "ẋẍ"
        case "y": "ýÿŷȳẏẙỳỵỷỹ"
        case "z": "źżžẑẓẕ"
        default: ""
        }
    }
}
