/// Which letters count as the same in a search for a plain string.
enum LetterFolding {
    /// A regular expression that matches a string, whatever accents its Latin letters have on either side.
    ///
    /// It is for caseless matching: only small letters are named in it.
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
                // Digits and what is not ASCII have no meaning of their own; '\1' would have.
                if scalar.isASCII, !("0"..."9").contains(scalar) { pattern += "\\" }
                pattern.unicodeScalars.append(scalar)
            }
        }
        return pattern
    }

    private static let marks = "[\\x{300}-\\x{36f}]"

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool { (0x300...0x36F).contains(scalar.value) }

    /// The letter of a to z that a letter is with or without accents.
    private static func latinBase(of scalar: Unicode.Scalar) -> Unicode.Scalar? {
        if ("a"..."z").contains(scalar) { return scalar }
        if ("A"..."Z").contains(scalar) { return Unicode.Scalar(scalar.value | 0x20) }
        guard scalar.value >= 0xC0, scalar.value < 0x1F00,
            let small = scalar.properties.lowercaseMapping.unicodeScalars.first
        else { return nil }
        for value in UInt8(ascii: "a")...UInt8(ascii: "z") {
            let base = Unicode.Scalar(value)
            if variants(of: base).unicodeScalars.contains(small) { return base }
        }
        return nil
    }

    /// The letters that are this one and a mark, as Unicode takes them apart.
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
        case "i": "ìíîïĩīĭįǐȉȋḭḯỉị"
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
