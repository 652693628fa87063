"""What the people of a seeded marketplace say: words and templates, no two fields with the same ones.

Words that fill a slot come with Zipf's frequencies, so that a search meets common words, rare ones and every kind
between. Nothing here is anybody's: names of companies are made of syllables.
"""

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    """Words that blanks part, over several lines."""
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    """Phrases that bars part, over several lines."""
    return tuple(" ".join(one.split()) for one in text.split("|"))


FIRST_NAMES: Final = _words(
    """
    Amelia Noah Fatima Liam Aisha Mateo Yuki Olga Ravi Chloe Ahmed Sofia Jonas Mei Omar Ingrid Diego Priya Lucas Hana
    Emeka Clara Pavel Zainab Hugo Leila Tomasz Ana Kwame Elif Bruno Nadia Viktor Rosa Ali Greta Samuel Ines Dmitri Maya
    Arjun Freya Carlos Lina Hassan Alice Marek Joana Tariq Ella Niklas Paula Imran Vera Oscar Marta Bilal Astrid Felix
    Rania José Zoë Søren François Jürgen Łukasz Chiara Anaïs Björn
    """
)
LAST_NAMES: Final = _words(
    """
    Khan Müller Silva Novak Okafor Tanaka Garcia Ivanova Sharma Dubois Ahmed Rossi Andersen Kowalski Chen Haddad
    Johnson Nakamura Costa Petrov Malik Schmidt Fernández Berg Yilmaz Osei Moreau Lindqvist Bianchi Nguyen Hussain
    O'Brien Popescu Kim Mensah Fischer Almeida Jansen Siddiqui Wagner Ortiz Dvorak Rahman Laurent Eriksen Romero Baker
    Sato Keller Iqbal Marino Horvat Santos Weber Qureshi Larsen Duarte Zhang Peña Nowak Cohen Adeyemi Vasquez Meier
    Raza Bauer Lopes Farouk Hansen Walsh
    """
)
COUNTRIES: Final = _words("US PK IN GB DE FR ES BR NG KE PL UA CA AU NL IT SE PT MX AR EG TR VN PH JP")
ZONES: Final = {
    "US": "America/New_York", "PK": "Asia/Karachi", "IN": "Asia/Kolkata", "GB": "Europe/London", "DE": "Europe/Berlin",
    "FR": "Europe/Paris", "ES": "Europe/Madrid", "BR": "America/Sao_Paulo", "NG": "Africa/Lagos",
    "KE": "Africa/Nairobi", "PL": "Europe/Warsaw", "UA": "Europe/Kyiv", "CA": "America/Toronto",
    "AU": "Australia/Sydney", "NL": "Europe/Amsterdam", "IT": "Europe/Rome", "SE": "Europe/Stockholm",
    "PT": "Europe/Lisbon", "MX": "America/Mexico_City", "AR": "America/Argentina/Buenos_Aires", "EG": "Africa/Cairo",
    "TR": "Europe/Istanbul", "VN": "Asia/Ho_Chi_Minh", "PH": "Asia/Manila", "JP": "Asia/Tokyo",
}  # fmt: skip

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "Web Development": ("React", "TypeScript", "Django", "Node.js", "PHP", "Laravel", "WordPress", "Vue", "HTML", "CSS",
                        "Next.js", "GraphQL"),
    "Mobile Apps": ("Swift", "Kotlin", "Flutter", "React Native", "iOS", "Android", "Firebase", "Dart"),
    "Graphic Design": ("Photoshop", "Illustrator", "Branding", "Logo Design", "Figma", "InDesign", "Packaging"),
    "Writing": ("Copywriting", "Editing", "Proofreading", "Blogging", "Technical Writing", "Ghostwriting"),
    "Data Science": ("Python", "SQL", "Pandas", "Machine Learning", "Statistics", "Tableau", "R", "PyTorch"),
    "Marketing": ("SEO", "Google Ads", "Email Marketing", "Social Media", "Analytics", "Content Strategy"),
    "Translation": ("German", "Spanish", "French", "Urdu", "Arabic", "Japanese", "Localization", "Subtitling"),
    "Video Editing": ("Premiere Pro", "After Effects", "DaVinci Resolve", "Animation", "Motion Graphics"),
    "DevOps": ("Kubernetes", "Docker", "Terraform", "AWS", "Linux", "PostgreSQL", "CI/CD", "Ansible"),
    "UX Research": ("Interviews", "Usability Testing", "Wireframing", "Prototyping", "Surveys", "Personas"),
    "Accounting": ("Bookkeeping", "Excel", "Tax", "QuickBooks", "Payroll", "Audit"),
    "Virtual Assistance": ("Scheduling", "Data Entry", "Customer Support", "Research", "Transcription"),
    "Architecture": ("AutoCAD", "Revit", "SketchUp", "Rendering", "Interior Design", "BIM"),
    "Audio": ("Mixing", "Mastering", "Voice Over", "Podcasting", "Sound Design", "Composition"),
    "Legal": ("Contracts", "Trademarks", "Privacy", "GDPR", "Legal Research"),
    "Game Development": ("Unity", "Unreal", "C#", "Godot", "Pixel Art", "Level Design"),
}  # fmt: skip
"""What is worked at, the most wanted first, with its skills, likewise."""
CATEGORIES: Final = {
    "Mobile Apps": "mobile-development", "Video Editing": "video-audio", "UX Research": "ui-ux-design",
    "Accounting": "finance", "Virtual Assistance": "admin-support", "Architecture": "engineering",
    "Audio": "video-audio",
}  # fmt: skip
"""The service's own category of a field, where it is called otherwise there."""


THINGS: Final = _phrases(
    """website | shop | app | dashboard | landing page | logo | brochure | newsletter | blog | report | database |
    booking system | online store | marketplace | portfolio | campaign | catalogue | prototype | integration |
    migration | chatbot | survey | tutorial | podcast | trailer | inventory system | payment page | admin panel |
    mobile game | floor plan | price list | style guide | annual report | white paper | press kit | intranet |
    loyalty programme | scraper | recommender | forecast | audit | subtitles | jingle | manual | onboarding flow |
    knowledge base | donation page | seating planner | route optimiser | loom simulator | tide calculator |
    beekeeping log"""
)
TRADES: Final = _phrases(
    """bakery | dental clinic | law firm | startup | restaurant | hotel | school | fitness studio | charity |
    real estate agency | travel agency | fashion label | bookshop | coffee roaster | logistics company |
    insurance broker | museum | vineyard | bicycle workshop | garden centre | publisher | record label |
    veterinary practice | furniture maker | ceramics studio | film festival | choir | chess club | orchard |
    sailing school | lighthouse trust | apiary | observatory | glassblower | falconry"""
)
QUALITIES: Final = _words(
    """
    modern reliable simple fast responsive accessible friendly clean secure multilingual elegant playful affordable
    scalable minimalist robust bold sustainable bespoke vintage meticulous whimsical lightweight austere
    phosphorescent
    """
)
VERBS: Final = _words(
    "Build Design Create Improve Redesign Write Fix Migrate Translate Review Launch Rework Automate Restore"
)
SENTENCES: Final = (
    "We are {a_trade} and need {a_quality} {thing}.",
    "You will work with {skill} and know your way around {skill2}.",
    "The {thing} must be {quality} and easy to maintain.",
    "Please show us two examples of similar work for {a_trade}.",
    "Our deadline is firm, but the order of the steps is yours.",
    "Experience with {skill} is required; {skill2} is a plus.",
    "We expect a short plan, weekly updates and clean hand-over documentation.",
    "{brand} has served its customers for many years and wants to grow.",
    "All texts and pictures exist already; the {thing} has to bring them together.",
    "We prefer somebody who asks questions early.",
    "The present {thing} was made in a hurry and shows it.",
    "Tell us how you would test the {thing} before our customers see it.",
    "A second phase for {brand} is likely if the first goes well.",
    "Communication is in English, written, with a call when it helps.",
    "Our team is small, so your advice on {skill} counts.",
    "Payment is by milestones, as agreed in the contract.",
)
TITLES: Final = (
    "{verb} {a_quality} {thing} for {brand}",
    "{verb} {a_thing} for our {trade}",
    "{skill} expert wanted: {thing} for {a_trade}",
    "{quality} {thing} with {skill} and {skill2}",
    "{verb} the {thing} of {brand}",
    "{thing} for {a_trade}, {skill}",
)
SYLLABLES: Final = (
    _words("ba bel cor dan el fen gor hal il jor kan lum mar nor ol pel quin ros sil tam ul ven wil xan yor zel"),
    _words("a e i o u an er ia or um ara eno illo ista onda"),
    _words("bri dax fix gen line loo mira nova port quest ria soft tec vale works wyn zo"),
)

OFFERS: Final = (
    "I have built {a_thing} for {a_trade} before and would like to do it again.",
    "With {years} years of {skill} I can start on Monday.",
    "Your description is clear. I would begin with a short call and a plan.",
    "Please find similar work in my portfolio. {skill} is what I do every day.",
    "I can deliver the {thing} in two steps, each with something you can try.",
    "My last client, also {a_trade}, still works with me.",
)
STAGES: Final = (
    "Plan", "Concept", "First draft", "Prototype", "Design", "Set-up", "First version", "Content", "Corrections",
    "Integration", "Tests", "Second version", "Documentation", "Launch", "Hand-over",
)  # fmt: skip
MESSAGES: Final = (
    "Hello, thank you for getting in touch about the {thing}.",
    "Could you say more about the {quality} part?",
    "Yes, that works for me.",
    "I have sent the first version of the {thing}. Please have a look.",
    "Looks good! One small thing: the {thing} should be more {quality}.",
    "When can we talk? I am free tomorrow after ten.",
    "Tomorrow is fine.",
    "The milestone is funded, so you can begin.",
    "Thanks, I will start with {skill} today.",
    "Is {skill2} all right for you, or do you want {skill}?",
    "Please use {skill}. Our last developer did not, and we regretted it.",
    "Done. I also tidied the {thing} up a little.",
    "Great work, I have just approved it.",
    "There is a mistake in the {thing}: see the second page.",
    "Fixed. Sorry about that.",
    "Our {trade} is closed on Friday, so let us finish on Thursday.",
    "I will be away next week, but I read my messages.",
    "{brand} wants to see it too. May I show them?",
    "Of course.",
    "👍",
)
COMMENTS: Final = (
    "A pleasure to work with, would hire again.",
    "Good work and good communication about the {thing}.",
    "Delivered late, but what was delivered is {quality}.",
    "Knows {skill} inside out.",
    "Clear wishes, quick answers, paid at once.",
    "It took some explaining, and ended well.",
    "Not what we had agreed on.",
)
ABOUTS: Final = (
    "I work with {skill} and {skill2} for clients such as {a_trade}.",
    "For {years} years I have made every kind of {thing}, most of them {quality}.",
    "Before I went freelance I was with {brand}.",
    "I answer within a day and say so when I cannot.",
)
QUESTIONS: Final = (
    "I cannot change my e-mail address", "Payment is still processing", "How do I close a project?",
    "The invoice shows a wrong name", "My verification mail never came", "A client does not answer",
    "The {thing} cannot be uploaded", "What does the fee cover?",
)  # fmt: skip
