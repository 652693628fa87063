"""Categories and skills that the migrations bring."""

from models import catalogue, guard


async def test_categories_stand_in_their_order(database: str) -> None:
    found = await catalogue.list_categories()

    assert len(found) == 22
    assert (found[0].slug, found[0].name) == ("web-development", "Web development")
    assert len({one.slug for one in found}) == 22


async def test_skills_are_found_by_a_part_of_their_name_page_by_page(database: str) -> None:
    everything = await catalogue.list_skills(None, after=None, limit=1000)
    assert len(everything) == await guard.value("select count(*) from skills") > 150
    assert all(one.slug == one.slug.strip("-") and one.slug for one in everything)
    slugs = {one.name: one.slug for one in everything}
    assert (slugs["C++"], slugs["C#"], slugs["C"], slugs["ASP.NET"]) == ("cpp", "csharp", "c", "asp-dotnet")

    assert [one.name for one in await catalogue.list_skills("SQL", after=None, limit=2)] == [
        "Microsoft SQL Server",
        "MySQL",
    ]
    assert [one.slug for one in await catalogue.list_skills("sql", after="mysql", limit=9)] == [
        "postgresql",
        "sql",
        "sqlite",
    ]
    assert await catalogue.list_skills("%", after=None, limit=9) == []
